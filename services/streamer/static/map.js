// The view "Map": where the identities are on the ground, and which camera can follow which.
//
// Cameras with a calibration are drawn to scale, in metres. The others are in the graph below.

import { graphOf } from "./camera_graph.js";
import { planForm, readPlan } from "./floor_plan.js";
import { Ground } from "./ground.js";
import { anchorOf, placesOf } from "./labels.js";
import { openIdentity, place } from "./navigation.js";
import { body, guarded, isOperator, readCameras, titleOfCamera } from "./panel_body.js";
import { colourOf, get, h, repeat, titleOf } from "./parts.js";
import { svg } from "./svg.js";

const EVERY_MS = 500;
const TRAIL_MS = 20_000;
const LEAST_STEP_M = 0.3; // a trail has no more points than it needs
const GAP_MS = 2500; // nobody saw it in between, so no line is drawn

/** @returns {() => void} stops it */
export function showMap() {
  /** By gid. @type {Map<number, Mover>} */
  const movers = new Map();
  const area = h("div", { class: "ground" });
  const graph = h("div", { class: "graph" });
  /** @type {Ground|null} */
  let ground = null;
  let layout = null;

  /** Reads everything again. */
  function again() {
    layout = null;
  }

  function drawLive() {
    if (ground) draw(ground, [...movers.values()]);
  }

  async function look(signal) {
    if (layout === null) {
      const [calibration, found, plan] = await guarded(() => Promise.all([get("/calibration", signal), get("/layout", signal), readPlan(signal), readCameras(signal)]));
      layout = found;
      const views = calibration.cameras.filter((camera) => camera.view.length);
      ground = views.length || plan ? new Ground(views, plan, "map of the site") : null;
      if (ground) {
        ground.onZoom = drawLive;
        ground.zoom.interest = () => middleOf([...movers.values()].filter((mover) => mover.isHere));
      }
      const missing = found.cameras.filter((name) => !views.some((one) => one.camera === name));
      area.replaceChildren(...(ground ? [ground.element] : []), note(views, missing), ...(isOperator ? [planForm(plan, again)] : []));
      graph.replaceChildren(...graphOf(found));
      body.replaceChildren(area, graph);
    }
    if (!ground) return;
    const present = await guarded(() => get("/identities?present=true&limit=500", signal));
    if (signal.aborted) return;
    const now = performance.now();
    for (const mover of movers.values()) mover.isHere = false;
    for (const identity of present.identities) {
      if (!identity.position) continue;
      if (!movers.has(identity.gid)) movers.set(identity.gid, new Mover(identity.gid));
      movers.get(identity.gid).isAt(identity, now);
    }
    for (const [gid, mover] of movers) if (mover.isForgotten(now)) movers.delete(gid);
    drawLive();
  }

  return repeat(look, EVERY_MS);
}

function note(views, missing) {
  if (!views.length) {
    return h("p", { class: "empty" }, "No camera is calibrated, so nobody knows where things are on the ground. The graph below shows what was learned about the cameras.");
  }
  return h("p", { class: "sum" }, "The grid has lines every 10 m. Where there is no room for a name, zoom in.", missing.length ? ` Without calibration: ${missing.map(titleOfCamera).join(", ")}.` : "");
}

/** One identity on the ground. Its elements stay, so that a click and the keyboard's focus find what they meant. */
class Mover {
  /** @param {number} gid */
  constructor(gid) {
    this.gid = gid;
    this.points = [];
    this.title = "";
    this.uncertainty = 0;
    this.isHere = false;
    this.labelPlace = -1;
    const colour = colourOf(gid);
    const open = () => openIdentity(gid);
    this.trail = svg("path", { class: "trail", stroke: colour });
    this.around = svg("circle", { class: "uncertainty", fill: colour });
    this.dot = svg("circle", { class: "object", fill: colour });
    this.label = svg("text");
    this.spot = svg("g", { class: "spot", role: "button", tabindex: 0, "data-gid": gid, onclick: open, onkeydown: (event) => (event.key === "Enter" || event.key === " ") && open() }, this.dot, this.label);
    this.element = svg("g", {}, this.trail, this.around, this.spot);
  }

  get last() {
    return this.points[this.points.length - 1];
  }

  /** @param {any} identity
   * @param {number} now ms
   */
  isAt(identity, now) {
    this.isHere = true;
    this.title = titleOf(identity);
    this.uncertainty = identity.position.uncertainty || 0;
    const last = this.last;
    const point = { x: identity.position.x, y: -identity.position.y, at: now };
    if (last && Math.hypot(point.x - last.x, point.y - last.y) < LEAST_STEP_M && now - last.at < GAP_MS) last.at = now;
    else this.points.push(point);
  }

  /** Whether its trail has ended.
   * @param {number} now ms
   */
  isForgotten(now) {
    this.points = this.points.filter((point) => now - point.at < TRAIL_MS);
    return !this.points.length;
  }

  /** @param {number} size metres on screen */
  draw(size, isFollowed) {
    const radius = size / 90;
    const [{ x, y }, own] = [this.last, radius * (isFollowed ? 1.6 : 1)];
    set(this.element, { class: isFollowed ? "followed" : this.isHere ? "" : "gone" });
    set(this.trail, { d: pathOf(this.points), "stroke-width": radius / 3 });
    set(this.around, { cx: x, cy: y, r: this.isHere && this.uncertainty > radius ? this.uncertainty : 0 });
    set(this.dot, { cx: x, cy: y, r: own });
    set(this.spot, { "aria-label": `${this.title}: journey` });
    return { x, y, radius: own, text: this.title, place: this.labelPlace };
  }
}

/** @param {Ground} ground
 * @param {Mover[]} movers
 */
function draw(ground, movers) {
  const followed = place().follow;
  const height = ground.size / 38;
  for (const mover of movers) {
    if (mover.element.parentNode !== ground.live) ground.live.append(mover.element);
    if (!mover.isHere) mover.spot.remove();
    else if (!mover.spot.parentNode) mover.element.append(mover.spot);
  }
  const elements = new Set(movers.map((mover) => mover.element));
  for (const element of [...ground.live.children]) if (!elements.has(/** @type {SVGElement} */ (element))) element.remove();
  // The followed one is written first, then those that have been here longest.
  const here = movers.filter((mover) => mover.isHere).sort((a, b) => Number(b.gid === followed) - Number(a.gid === followed) || a.gid - b.gid);
  const spots = here.map((mover) => mover.draw(ground.size, mover.gid === followed));
  for (const mover of movers) if (!mover.isHere) mover.draw(ground.size, false);
  placesOf(spots, height, ground.taken).forEach((found, index) => {
    const mover = here[index];
    mover.labelPlace = found;
    const { x, y, anchor } = anchorOf(spots[index], found, height);
    set(mover.label, { x, y, "text-anchor": anchor, "font-size": height });
    mover.spot.toggleAttribute("data-crowded", found < 0);
    if (mover.label.textContent !== mover.title) mover.label.textContent = mover.title;
  });
}

/** The followed one, or the middle of most.
 * @param {Mover[]} movers
 * @returns {[number, number]|null}
 */
function middleOf(movers) {
  if (!movers.length) return null;
  const followed = movers.find((mover) => mover.gid === place().follow);
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  const of = followed ? [followed] : movers;
  return [median(of.map((mover) => mover.last.x)), median(of.map((mover) => mover.last.y))];
}

/** @param {Element} element
 * @param {Record<string, string|number>} attributes
 */
function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
  }
}

function pathOf(points) {
  return points.map((point, index) => `${index && point.at - points[index - 1].at < GAP_MS ? "L" : "M"}${point.x.toFixed(2)} ${point.y.toFixed(2)}`).join("");
}
