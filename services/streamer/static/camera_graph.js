// The graph of cameras: which views overlap, and how long objects take from one to another.

import { titleOfCamera } from "./panel_body.js";
import { h } from "./parts.js";
import { svg } from "./svg.js";

const GRAPH = 320; // side of the drawing
const NODE = 22;

/** The graph as elements.
 * @param {any} layout a LayoutOfSite of the API
 */
export function graphOf(layout) {
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
