// Makes a drawing larger, and moves it: by buttons, keys, dragging, two fingers, or the wheel with Ctrl.

import { h } from "./parts.js";
import { pointIn } from "./svg.js";

const MOST = 40;
const STEP = 1.5;
const DRAGGED_PX = 4; // less is a click
const SHIFTS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Zoom {
  /** @param {SVGSVGElement} drawing
   * @param {number[]} whole left, top, width and height of all of it
   * @param {() => void} changed called when `factor` has changed
   */
  constructor(drawing, whole, changed) {
    this.drawing = drawing;
    this.whole = whole;
    this.changed = changed;
    this.factor = 1;
    this.middle = [whole[0] + whole[2] / 2, whole[1] + whole[3] / 2];
    /** The fingers or the mouse button that are down: id → where. @type {Map<number, {clientX: number, clientY: number}>} */
    this.down = new Map();
    this.wasDragged = false;
    /** Where something is to be seen; null: anywhere. @type {() => [number, number]|null} */
    this.interest = () => null;
    const button = (label, text, work) => h("button", { type: "button", "aria-label": label, title: label, onclick: work }, text);
    this.smaller = button("zoom out", "−", () => this.by(1 / STEP));
    this.all = button("show all", "All", () => this.by(0));
    this.buttons = h("div", { class: "zoom" }, button("zoom in", "+", () => this.by(STEP)), this.smaller, this.all);
    drawing.addEventListener("pointerdown", (event) => this.pressed(event));
    drawing.addEventListener("pointermove", (event) => this.moved(event));
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
      drawing.addEventListener(name, (event) => this.down.delete(/** @type {PointerEvent} */ (event).pointerId));
    }
    // The end of a drag is not a click on what is there.
    drawing.addEventListener("click", (event) => this.wasDragged && event.stopPropagation(), { capture: true });
    drawing.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the panel scrolls
      event.preventDefault();
      this.by(Math.exp(-event.deltaY / 300), pointIn(drawing, event));
    }, { passive: false });
    drawing.addEventListener("keydown", (event) => this.pressedKey(event));
    this.show();
  }

  /** Zooms by a factor, around a point that stays where it is; 0 shows all.
   * @param {number} factor
   * @param {[number, number]} [around]
   */
  by(factor, around) {
    const before = this.factor;
    this.factor = Math.min(MOST, Math.max(1, before * factor));
    const [x, y] = around || this.middle;
    // All was shown: what is there comes to the middle, not the middle of the drawing, where there may be nothing.
    const interest = before === 1 && !around ? this.interest() : null;
    const kept = before / this.factor;
    this.middle = interest || [x + (this.middle[0] - x) * kept, y + (this.middle[1] - y) * kept];
    this.show();
    this.changed();
  }

  /** Moves what is shown, in the units of the drawing. */
  shift(x, y) {
    this.middle = [this.middle[0] + x, this.middle[1] + y];
    this.show();
  }

  show() {
    const [left, top, width, height] = this.whole;
    const [w, h] = [width / this.factor, height / this.factor];
    const [x, y] = this.middle;
    this.middle = [Math.min(left + width - w / 2, Math.max(left + w / 2, x)), Math.min(top + height - h / 2, Math.max(top + h / 2, y))];
    this.drawing.setAttribute("viewBox", [this.middle[0] - w / 2, this.middle[1] - h / 2, w, h].map((value) => value.toFixed(2)).join(" "));
    this.drawing.toggleAttribute("data-zoomed", this.factor > 1);
    for (const button of [this.smaller, this.all]) button.setAttribute("aria-disabled", String(this.factor === 1));
  }

  pressed(event) {
    if (event.button > 0) return;
    if (!this.down.size) this.wasDragged = false;
    this.down.set(event.pointerId, { clientX: event.clientX, clientY: event.clientY });
  }

  moved(event) {
    const before = this.down.get(event.pointerId);
    if (!before) return;
    if (!this.wasDragged && Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY) < DRAGGED_PX) return;
    this.wasDragged = true;
    const other = [...this.down].find(([id]) => id !== event.pointerId)?.[1];
    const [from, to] = [pointIn(this.drawing, before), pointIn(this.drawing, event)];
    this.down.set(event.pointerId, { clientX: event.clientX, clientY: event.clientY });
    if (other) {
      const distance = (one) => Math.max(1, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY));
      this.by(distance(event) / distance(before), pointIn(this.drawing, other));
    } else this.shift(from[0] - to[0], from[1] - to[1]);
  }

  pressedKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const shift = SHIFTS[event.key];
    if (event.key === "+" || event.key === "=") this.by(STEP);
    else if (event.key === "-") this.by(1 / STEP);
    else if (event.key === "0") this.by(0);
    else if (shift && this.factor > 1) this.shift((shift[0] * this.whole[2]) / this.factor / 8, (shift[1] * this.whole[3]) / this.factor / 8);
    else return;
    event.preventDefault();
  }
}
