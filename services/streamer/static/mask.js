// The mask of a camera: an operator draws the areas that are ignored.

import { attempt, editor, percent, Picture } from "./editor.js";
import { titleOfCamera } from "./panel_body.js";
import { get, h, request } from "./parts.js";
import { svg } from "./svg.js";

const LEAST_CORNERS = 3;

/** The mask of a camera.
 * @param {string} camera
 * @returns {() => void} stops it
 */
export function showMask(camera) {
  const path = `/cameras/${encodeURIComponent(camera)}`;
  /** @type {Array<Array<[number, number]>>} the last one is being drawn */
  let areas = [[]];
  const list = h("ol", { class: "areas" });
  const picture = new Picture(camera, (x, y) => {
    areas[areas.length - 1].push([x, y]);
    draw();
  });
  picture.onResize = () => draw();

  function draw() {
    picture.marks.replaceChildren(...areas.flatMap((area, index) => {
      const isOpen = index === areas.length - 1;
      const shape = area.length ? [svg(isOpen ? "polyline" : "polygon", { class: isOpen ? "area open" : "area", points: picture.path(area) })] : [];
      return [...shape, ...area.map((point, corner) => picture.spot(point, corner + 1))];
    }));
    list.replaceChildren(...areas.filter((area, index) => area.length || index < areas.length - 1).map((area, index) => h("li", {},
      `Area ${index + 1}, ${area.length} ${area.length === 1 ? "corner" : "corners"}`,
      h("button", { type: "button", "aria-label": `delete area ${index + 1}`, onclick: () => {
        areas.splice(index, 1);
        if (!areas.length || index === areas.length) areas.push([]);
        draw();
      } }, "Delete"),
      h("div", { class: "corners" }, ...area.map((point, corner) => h("div", {},
        percent(`${corner + 1}: left %`, point[0], (value) => move(point, 0, value)),
        percent("top %", point[1], (value) => move(point, 1, value))))))));
  }

  function move(point, axis, value) {
    point[axis] = value;
    draw();
  }

  const advice = h("p", { class: "sum" }, "Objects in these areas are ignored: a road behind a fence, a mirror, a screen. Click the corners of an area, then close it.");
  const said = editor(`Mask: ${titleOfCamera(camera)}`, [advice], [picture.element], list, [
    h("button", { type: "button", onclick: () => {
      const area = areas[areas.length - 1];
      if (area.length < LEAST_CORNERS) said.textContent = `An area needs at least ${LEAST_CORNERS} corners.`;
      else {
        areas.push([]);
        said.textContent = "";
      }
      draw();
    } }, "Close the area"),
    h("button", { type: "button", onclick: () => {
      areas[areas.length - 1].push([0.5, 0.5]);
      draw();
    } }, "Add a corner"),
    h("button", { type: "button", onclick: () => attempt(said, async () => {
      const drawn = areas.filter((area) => area.length);
      const polygons = drawn.filter((area) => area.length >= LEAST_CORNERS);
      if (polygons.length < drawn.length) throw new Error(`an area needs at least ${LEAST_CORNERS} corners; add some, or delete it`);
      const answer = polygons.length ? await request("PUT", `${path}/mask`, { polygons }) : await request("DELETE", `${path}/mask`);
      return answer.done === "nothing" ? "Nothing has changed." : "Saved. The camera starts again with it within seconds.";
    }) }, "Save"),
  ]);
  draw();
  get(`${path}/settings`).then((settings) => {
    if (areas.length > 1 || areas[0].length) return;
    areas = [...settings.mask_polygons, []];
    draw();
  }).catch((error) => {
    said.textContent = `Not done: ${error.message}.`;
  });
  return () => {};
}
