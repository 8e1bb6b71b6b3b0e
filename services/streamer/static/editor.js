// What the editors share in which an operator draws on the picture of a camera. Points are kept in fractions of the
// picture's width and height.

import { go } from "./navigation.js";
import { body, titleOfCamera } from "./panel_body.js";
import { h } from "./parts.js";
import { pointIn, svg } from "./svg.js";

/** The picture of a camera, to click on. */
export class Picture {
  /** @param {string} camera
   * @param {(x: number, y: number) => void} onPoint with fractions of width and height
   */
  constructor(camera, onPoint) {
    this.width = 1280;
    this.height = 720;
    this.image = svg("image", { href: `/${encodeURIComponent(camera)}.jpg?width=1280`, preserveAspectRatio: "none" });
    this.marks = svg("g");
    this.element = svg("svg", { class: "drawing", role: "img", "aria-label": `picture of ${titleOfCamera(camera)}; the list below has the same points`, onclick: (event) => {
      const [x, y] = pointIn(/** @type {any} */ (this.element), event);
      onPoint(clamped(x / this.width), clamped(y / this.height));
    } }, this.image, this.marks);
    this.resize();
    const loaded = new Image();
    loaded.onload = () => {
      [this.width, this.height] = [loaded.naturalWidth, loaded.naturalHeight];
      this.resize();
      this.onResize();
    };
    loaded.src = this.image.getAttribute("href");
    this.onResize = () => {};
  }

  resize() {
    this.element.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.image.setAttribute("width", String(this.width));
    this.image.setAttribute("height", String(this.height));
  }

  /** @param {Array<[number, number]>} points fractions
   * @returns {string} for the attribute `points`
   */
  path(points) {
    return points.map(([x, y]) => `${(x * this.width).toFixed(1)},${(y * this.height).toFixed(1)}`).join(" ");
  }

  /** A numbered spot. */
  spot([x, y], number, state = "") {
    const radius = this.width / 110;
    return svg("g", { class: `corner ${state}` },
      svg("circle", { cx: x * this.width, cy: y * this.height, r: radius }),
      svg("text", { x: x * this.width + radius * 1.3, y: y * this.height - radius, "font-size": radius * 2.6 }, String(number)));
  }
}

function clamped(fraction) {
  return Math.round(Math.min(1, Math.max(0, fraction)) * 1e4) / 1e4;
}

/** A field for a fraction, in per cent. */
export function percent(label, value, onChange) {
  return number(label, (value * 100).toFixed(2), (changed) => onChange(clamped(changed / 100)), { min: 0, max: 100, step: "any" });
}

/** A field for a number. */
export function number(label, value, onChange, attributes = {}) {
  return h("label", {}, h("span", {}, label), h("input", { type: "number", required: true, step: "any", value, ...attributes, onchange: (event) => onChange(Number(event.target.value)) }));
}

/** Back to the list of cameras, without saving. */
export function leave() {
  go({ mask: null, calibrate: null, view: "cameras" });
}

/** The frame of an editor: a heading, what to do, the picture and what else is drawn on, a list, buttons, and what became
 * of it.
 * @param {string} heading
 * @param {Array<Node>} advice
 * @param {Array<Node>} drawings
 * @param {Element} list
 * @param {Array<Element>} buttons
 * @returns {HTMLElement} says what became of it
 */
export function editor(heading, advice, drawings, list, buttons) {
  const said = h("p", { class: "said", role: "status" });
  body.replaceChildren(h("div", { class: "editor" },
    h("button", { type: "button", onclick: leave }, "‹ Cameras"),
    h("h2", {}, heading),
    ...advice,
    ...drawings,
    list,
    h("div", { class: "does" }, ...buttons, h("button", { type: "button", onclick: leave }, "Cancel")),
    said));
  return said;
}

/** Does `work` and says what became of it.
 * @param {HTMLElement} said
 * @param {() => Promise<string>} work
 */
export async function attempt(said, work) {
  said.textContent = "…";
  try {
    said.textContent = await work();
  } catch (error) {
    said.textContent = `Not done: ${error.message}.`;
  }
}
