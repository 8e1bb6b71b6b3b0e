// The ground from above, in metres: the floor plan, a grid, and what each calibrated camera sees of it. The drawing's y
// goes down, the ground's goes up.

import { centredBox, meet, widthOf } from "./labels.js";
import { titleOfCamera } from "./panel_body.js";
import { svg } from "./svg.js";
import { Zoom } from "./zoom.js";

const MARGIN = 0.06; // of the larger side

export class Ground {
  /** @param {Array<any>} views calibrations of the API that have a `view`
   * @param {any} plan the floor plan; null: there is none
   * @param {string} label of the drawing
   */
  constructor(views, plan, label) {
    const corners = plan ? [[plan.x, plan.y], [plan.x + plan.width_m, plan.y + plan.height_m]] : [];
    const every = [...corners, ...views.flatMap((one) => one.view)];
    const xs = every.map((point) => point[0]);
    const ys = every.map((point) => -point[1]);
    const [left, top] = [Math.min(...xs), Math.min(...ys)];
    const [width, height] = [Math.max(...xs) - left, Math.max(...ys) - top];
    const margin = MARGIN * Math.max(width, height, 1);
    const box = [left - margin, top - margin, width + 2 * margin, height + 2 * margin];
    this.box = box;
    this.extent = Math.max(width, height) + 2 * margin;
    /** What changes is drawn here, above the rest. */
    this.live = svg("g");
    this.views = views;
    this.names = views.map((one) => svg("text", { "text-anchor": "middle" }, titleOfCamera(one.camera)));
    /** What the names of the cameras cover. @type {import("./labels.js").Box[]} */
    this.taken = [];
    const drawing = svg("svg", { class: "map", role: "group", tabindex: 0, "aria-label": `${label}; plus and minus zoom, the arrows move` },
      plan ? svg("image", { class: "plan", href: `${plan.url}?version=${plan.read}`, x: plan.x, y: -(plan.y + plan.height_m), width: plan.width_m, height: plan.height_m, preserveAspectRatio: "none" }) : null,
      grid(box),
      ...views.map((one, index) => viewOf(one, index, this.names[index])),
      this.live);
    this.drawing = /** @type {SVGSVGElement} */ (drawing);
    this.onZoom = () => {};
    this.zoom = new Zoom(this.drawing, box, () => {
      this.writeNames();
      this.onZoom();
    });
    this.element = document.createElement("div");
    this.element.className = "ground-frame";
    this.element.append(this.drawing, this.zoom.buttons);
    this.writeNames();
  }

  /** How many metres what is on screen spans: text and spots keep their size on screen. */
  get size() {
    return this.extent / this.zoom.factor;
  }

  /** Writes the name of each camera where it covers no other one. */
  writeNames() {
    const height = this.size / 44;
    this.taken = [];
    this.names.forEach((name, index) => {
      const text = name.textContent;
      const half = widthOf(text, height) / 2;
      const [left, , width] = this.box;
      const within = placesForName(this.views[index], this.views).map(([x, y]) => ({ x: Math.min(left + width - half, Math.max(left + half, x)), y: -y, text }));
      const found = within.find((one) => !this.taken.some((other) => meet(centredBox(one, height), other))) || within[0];
      this.taken.push(centredBox(found, height));
      for (const [attribute, value] of [["x", found.x], ["y", found.y], ["font-size", height]]) name.setAttribute(String(attribute), String(value));
    });
  }
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

/** Best is where few other cameras look, so that it is clear whose name it is, and few objects are; then where the camera
 * sees best: near the places that are closest to it.
 */
function placesForName(one, views) {
  const middle = [0, 1].map((axis) => one.view.reduce((sum, point) => sum + point[axis], 0) / one.view.length);
  const others = (point) => views.filter((other) => other !== one && isInside(point, other.view)).length;
  return [one.view_near, middle, ...one.view].map((point) => ({ point, others: others(point) })).sort((a, b) => a.others - b.others).map(({ point }) => point);
}

/** Whether a point is in a polygon: a line from it to the right crosses the outline an odd number of times. */
function isInside([x, y], outline) {
  return outline.filter(([ax, ay], index) => {
    const [bx, by] = outline[(index + 1) % outline.length];
    return ay > y !== by > y && x < ax + ((bx - ax) * (y - ay)) / (by - ay);
  }).length % 2 === 1;
}

function viewOf(one, index, name) {
  const points = one.view.map(([x, y]) => `${x.toFixed(2)},${(-y).toFixed(2)}`);
  const group = svg("g", { class: "view", "data-camera": one.camera }, svg("polygon", { points: points.join(" ") }), name);
  group.style.setProperty("--hue", ((index * 137.5) % 360).toFixed(0));
  return group;
}
