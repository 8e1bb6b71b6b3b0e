// The floor plan: a picture of the site from above, under the map.

import { asJpeg } from "./jpeg.js";
import { get, h, request } from "./parts.js";

const LARGEST_PLAN = 3000; // pixels

/** The floor plan, and when it was read; null if there is none.
 * @param {AbortSignal} signal
 */
export async function readPlan(signal) {
  const { plan } = await get("/floor-plan", signal);
  return plan && { ...plan, read: Date.now() };
}

/** The form for an operator.
 * @param {any} plan
 * @param {() => void} changed
 */
export function planForm(plan, changed) {
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
