// The view "Map": where the identities are on the ground, and which camera can follow which.
//
// Cameras with a calibration are drawn to scale, in metres. The others are in the graph below.

import { asJpeg } from "./jpeg.js";
import { openIdentity, place } from "./navigation.js";
import { body, guarded, isOperator, readCameras, titleOfCamera } from "./panel_body.js";
import { colourOf, get, h, repeat, request, titleOf } from "./parts.js";
import { svg } from "./svg.js";

const EVERY_MS = 500;
const TRAIL_MS = 20_000;
const LEAST_STEP_M = 0.3; // a trail has no more points than it needs
const GAP_MS = 2500; // nobody saw it in between, so no line is drawn
const MARGIN = 0.06; // of the larger side
const LARGEST_PLAN = 3000; // pixels
const GRAPH = 320; // side of the drawing of the graph
const NODE = 22;

/** @returns {() => void} stops it */
export function showMap() {
  const trails = new Map();
  const ground = h("div", { class: "ground" });
  const graph = h("div", { class: "graph" });
  const view = { box: "", live: svg("g"), element: null };
  let layout = null;

  /** Reads everything again. */
  function again() {
    layout = null;
  }

  async function draw(signal) {
    if (layout === null) {
      const [calibration, found, plan] = await guarded(() => Promise.all([get("/calibration", signal), get("/layout", signal), readPlan(signal), readCameras(signal)]));
      layout = found;
      const views = calibration.cameras.filter((camera) => camera.view.length);
      view.element = views.length || plan ? groundOf(views, plan, view) : null;
      const missing = found.cameras.filter((name) => !views.some((one) => one.camera === name));
      ground.replaceChildren(...(view.element ? [view.element] : []), note(views, missing), ...(isOperator ? [planForm(plan, again)] : []));
      graph.replaceChildren(...graphOf(found));
      body.replaceChildren(ground, graph);
    }
    if (!view.element) return;
    const present = await guarded(() => get("/identities?present=true&limit=500", signal));
    if (signal.aborted) return;
    const now = performance.now();
    for (const identity of present.identities) if (identity.position) addTo(trails, identity, now);
    for (const [gid, trail] of trails) {
      trail.points = trail.points.filter((point) => now - point.at < TRAIL_MS);
      if (!trail.points.length) trails.delete(gid);
    }
    const gids = new Set(present.identities.filter((identity) => identity.position).map((identity) => identity.gid));
    drawLive(view, trails, gids);
  }

  return repeat(draw, EVERY_MS);
}

function note(views, missing) {
  if (!views.length) {
    return h("p", { class: "empty" }, "No camera is calibrated, so nobody knows where things are on the ground. The graph below shows what was learned about the cameras.");
  }
  return h("p", { class: "sum" }, "The grid has lines every 10 m.", missing.length ? ` Without calibration: ${missing.map(titleOfCamera).join(", ")}.` : "");
}

function addTo(trails, identity, now) {
  const trail = trails.get(identity.gid) || { points: [], title: "", gid: identity.gid, uncertainty: 0 };
  trail.title = titleOf(identity);
  trail.uncertainty = identity.position.uncertainty || 0;
  const last = trail.points[trail.points.length - 1];
  const point = { x: identity.position.x, y: -identity.position.y, at: now };
  if (!last || Math.hypot(point.x - last.x, point.y - last.y) >= LEAST_STEP_M) trail.points.push(point);
  else if (now - last.at < GAP_MS) last.at = now;
  else trail.points.push(point);
  trails.set(identity.gid, trail);
}

// -- the ground, in metres; the picture's y goes down, the ground's goes up ----------------------------------------

function groundOf(views, plan, view) {
  const corners = plan ? [[plan.x, plan.y], [plan.x + plan.width_m, plan.y + plan.height_m]] : [];
  const every = [...corners, ...views.flatMap((one) => one.view)];
  const xs = every.map((point) => point[0]);
  const ys = every.map((point) => -point[1]);
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const [width, height] = [Math.max(...xs) - left, Math.max(...ys) - top];
  const margin = MARGIN * Math.max(width, height, 1);
  view.size = Math.max(width, height) + 2 * margin;
  const box = [left - margin, top - margin, width + 2 * margin, height + 2 * margin];
  return svg("svg", { class: "map", viewBox: box.map((value) => value.toFixed(2)).join(" "), role: "group", "aria-label": "map of the site" },
    plan ? svg("image", { class: "plan", href: `${plan.url}?version=${plan.read}`, x: plan.x, y: -(plan.y + plan.height_m), width: plan.width_m, height: plan.height_m, preserveAspectRatio: "none" }) : null,
    grid(box),
    ...views.map((one, index) => viewOf(one, index, view.size)),
    view.live);
}

/** Lines every 10 m.
 * @param {number[]} box left, top, width and height
 */
function grid([left, top, width, height]) {
  const lines = [];
  for (let x = Math.ceil(left / 10) * 10; x < left + width; x += 10) lines.push(`M${x} ${top}v${height}`);
  for (let y = Math.ceil(top / 10) * 10; y < top + height; y += 10) lines.push(`M${left} ${y}h${width}`);
  return svg("path", { class: "grid", d: lines.join("") });
}

function viewOf(one, index, size) {
  const points = one.view.map(([x, y]) => [x, -y]);
  // The label lies where the camera sees best: near the places that are closest to it.
  const [x, y] = [one.view_near[0], -one.view_near[1]];
  const hue = (index * 137.5) % 360;
  const group = svg("g", { class: "view", "data-camera": one.camera },
    svg("polygon", { points: points.map((point) => point.map((value) => value.toFixed(2)).join(",")).join(" ") }),
    svg("text", { x, y, "font-size": size / 44, "text-anchor": "middle" }, titleOfCamera(one.camera)));
  group.style.setProperty("--hue", hue.toFixed(0));
  return group;
}

function drawLive(view, trails, present) {
  const followed = place().follow;
  const radius = view.size / 90;
  const focused = view.live.contains(document.activeElement) ? document.activeElement.getAttribute("data-gid") : null;
  view.live.replaceChildren(...[...trails.values()].map((trail) => {
    const last = trail.points[trail.points.length - 1];
    const colour = colourOf(trail.gid);
    const isHere = present.has(trail.gid);
    const line = trail.points.length > 1 ? svg("path", { class: "trail", stroke: colour, "stroke-width": radius / 3, d: pathOf(trail.points) }) : null;
    if (!isHere) return svg("g", { class: "gone" }, line);
    return svg("g", { class: trail.gid === followed ? "followed" : "" },
      line,
      trail.uncertainty > radius ? svg("circle", { class: "uncertainty", cx: last.x, cy: last.y, r: trail.uncertainty, fill: colour }) : null,
      svg("g", { class: "spot", role: "button", tabindex: 0, "data-gid": trail.gid, "aria-label": `${trail.title}: journey`, onclick: () => openIdentity(trail.gid), onkeydown: (event) => (event.key === "Enter" || event.key === " ") && openIdentity(trail.gid) },
        svg("circle", { class: "object", cx: last.x, cy: last.y, r: radius * (trail.gid === followed ? 1.6 : 1), fill: colour }),
        svg("text", { x: last.x + radius * 1.4, y: last.y - radius * 0.8, "font-size": view.size / 38 }, trail.title)));
  }));
  if (focused !== null) view.live.querySelector(`[data-gid="${focused}"]`)?.focus({ preventScroll: true });
}

function pathOf(points) {
  return points.map((point, index) => `${index && point.at - points[index - 1].at < GAP_MS ? "L" : "M"}${point.x.toFixed(2)} ${point.y.toFixed(2)}`).join("");
}

// -- the floor plan under the map ---------------------------------------------------------------------------------

/** The floor plan; null if there is none. */
async function readPlan(signal) {
  const { plan } = await get("/floor-plan", signal);
  return plan && { ...plan, read: Date.now() };
}

/** The form for an operator. */
function planForm(plan, changed) {
  /** @returns {[HTMLInputElement, HTMLLabelElement]} */
  const metres = (label, value, attributes = {}) => {
    const input = h("input", { type: "number", step: "any", required: true, value, ...attributes });
    return [input, h("label", {}, label, input)];
  };
  const file = h("input", { type: "file", accept: "image/*", "aria-label": "picture of the floor plan" });
  const [x, ofX] = metres("left edge, m", plan ? plan.x : 0);
  const [y, ofY] = metres("lower edge, m", plan ? plan.y : 0);
  const [width, ofWidth] = metres("width, m", plan ? plan.width_m : "", { min: 0.01 });
  const said = h("p", { class: "said", role: "status" });
  const attempt = async (work) => {
    said.textContent = "…";
    try {
      await work();
      changed();
    } catch (error) {
      said.textContent = `Not done: ${error.message}.`;
    }
  };
  const save = () => attempt(async () => {
    if (!file.files.length && !plan) throw new Error("choose a picture first");
    const picture = file.files.length ? file.files[0] : await (await fetch(plan.url)).blob();
    const jpeg = await asJpeg(picture, LARGEST_PLAN);
    await request("PUT", `/floor-plan?${new URLSearchParams({ x: x.value, y: y.value, width_m: width.value })}`, jpeg);
  });
  return h("details", { class: "plan-form", "data-key": "plan" },
    h("summary", {}, plan ? "Change the floor plan" : "Put a floor plan under the map"),
    h("form", { onsubmit: (event) => {
      event.preventDefault();
      save();
    } },
    h("p", { class: "sum" }, "A picture of your site from above, with its upper edge towards growing y. Say where its lower left corner is, and how wide it is."),
    file, h("div", { class: "metres" }, ofX, ofY, ofWidth),
    h("div", { class: "does" },
      h("button", { type: "submit" }, "Save"),
      plan ? h("button", { type: "button", onclick: () => attempt(() => request("DELETE", "/floor-plan")) }, "Remove") : null),
    said));
}

// -- the graph of cameras -----------------------------------------------------------------------------------------

function graphOf(layout) {
  const names = layout.cameras;
  if (names.length < 2) return [];
  const places = new Map(names.map((name, index) => {
    const angle = (2 * Math.PI * index) / names.length - Math.PI / 2;
    const radius = GRAPH / 2 - NODE - 34;
    return [name, [GRAPH / 2 + radius * 1.25 * Math.cos(angle), GRAPH / 2 + radius * Math.sin(angle)]];
  }));
  const learned = layout.learned || { overlaps: [], steps: [] };
  const overlaps = new Map(layout.overlaps.map((pair) => [pair.join(" "), pair]));
  for (const one of learned.overlaps) if (one.probability !== null && one.probability > 0.5) overlaps.set(one.cameras.join(" "), one.cameras);
  const steps = new Map();
  for (const one of layout.transitions) steps.set(`${one.from} ${one.to}`, { from: one.from, to: one.to, text: range(one.min_seconds, one.max_seconds), isLearned: false });
  for (const one of learned.steps) if (one.from !== one.to) steps.set(`${one.from} ${one.to}`, { from: one.from, to: one.to, text: `${one.seconds[1].toFixed(0)} s`, isLearned: true });
  const areTogether = (one) => [...overlaps.values()].some((pair) => pair.includes(one.from) && pair.includes(one.to));
  const edges = [...steps.values()].filter((one) => places.has(one.from) && places.has(one.to) && !areTogether(one));
  return [
    h("h2", {}, "Which camera follows which"),
    svg("svg", { class: "cameras-graph", viewBox: `-40 0 ${GRAPH + 80} ${GRAPH}`, role: "img", "aria-label": phrases(overlaps, edges).join("; ") },
      svg("defs", {}, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, svg("path", { d: "M0 0 8 4 0 8z" }))),
      ...[...overlaps.values()].filter((pair) => pair.every((name) => places.has(name))).map((pair) => overlapOf(pair.map((name) => places.get(name)))),
      ...edges.map((edge) => stepOf(edge, places)),
      ...names.map((name) => nodeOf(name, places.get(name)))),
    h("p", { class: "sum" }, "Broad lines: overlapping views. Arrows: how long objects take, as learned (solid) or configured (dashed)."),
    h("details", { class: "as-list" }, h("summary", {}, "as a list"), h("ul", {}, ...phrases(overlaps, edges).map((phrase) => h("li", {}, phrase)))),
  ];
}

function phrases(overlaps, edges) {
  const found = [...overlaps.values()].map((pair) => `${pair.map(titleOfCamera).join(" and ")} overlap`);
  found.push(...edges.map((edge) => `${titleOfCamera(edge.from)} to ${titleOfCamera(edge.to)}: ${edge.text || "any time"}`));
  return found.length ? found : ["nothing is known about the cameras yet"];
}

function range(least, most) {
  if (least === null && most === null) return "";
  if (most === null) return `≥ ${least} s`;
  return least === null ? `≤ ${most} s` : `${least}–${most} s`;
}

function overlapOf([[ax, ay], [bx, by]]) {
  return svg("line", { class: "overlap", x1: ax, y1: ay, x2: bx, y2: by });
}

function stepOf(edge, places) {
  const [[ax, ay], [bx, by]] = [places.get(edge.from), places.get(edge.to)];
  const length = Math.hypot(bx - ax, by - ay) || 1;
  const [ux, uy] = [(bx - ax) / length, (by - ay) / length];
  // Both directions of a pair are drawn side by side.
  const [sx, sy] = [-uy * 7, ux * 7];
  const [x1, y1, x2, y2] = [ax + ux * NODE + sx, ay + uy * NODE + sy, bx - ux * NODE + sx, by - uy * NODE + sy];
  return svg("g", { class: edge.isLearned ? "step" : "step configured" },
    svg("line", { x1, y1, x2, y2, "marker-end": "url(#arrow)" }),
    svg("text", { x: x1 + (x2 - x1) * 0.35, y: y1 + (y2 - y1) * 0.35, dy: "0.35em", "text-anchor": "middle" }, edge.text));
}

function nodeOf(name, [x, y]) {
  return svg("g", { class: "node" },
    svg("circle", { cx: x, cy: y, r: NODE / 2 }),
    svg("text", { x, y: y + NODE, "text-anchor": "middle" }, titleOfCamera(name)));
}
