// The calibration of a camera: an operator clicks points on its picture, and says where they are on the ground.

import { attempt, editor, number, percent, Picture } from "./editor.js";
import { readPlan } from "./floor_plan.js";
import { Ground } from "./ground.js";
import { grid } from "./ground_grid.js";
import { go } from "./navigation.js";
import { readCameras, titleOfCamera } from "./panel_body.js";
import { every, get, h, request } from "./parts.js";
import { pointIn, svg } from "./svg.js";

const LEAST_POINTS = 4;
const PURPOSE = "A calibration puts this camera on the map, and lets mtmc tell look-alikes apart by their positions. Click at least four points on the ground, far apart, and give the position of each: click it on the map, or type metres. Use one origin for all cameras.";

/** @typedef {{at: [number, number], metres: [number, number]|null, error: string}} Pair
 * `at`: in the picture, fractions; a metre that is not known yet is NaN. */

/** @param {string} camera
 * @returns {() => void} stops it
 */
export function showCalibration(camera) {
  const abort = new AbortController();
  const path = `/cameras/${encodeURIComponent(camera)}`;
  /** @type {Pair[]} */
  let points = [];
  /** The point that a click on the map places. @type {Pair|null} */
  let placed = null;
  let tried = null;
  /** @type {Ground|null} */
  let ground = null;
  const state = h("p", { class: "state-of-calibration" });
  const map = h("div", { class: "places" });
  const list = h("ol", { class: "points" });
  /** @param {number} x
   * @param {number} y
   */
  const add = (x, y) => {
    /** @type {Pair} */
    const point = { at: [x, y], metres: null, error: "" };
    points.push(point);
    placed = point;
    changed();
    every("li:last-child .metres input", list)[0]?.focus({ preventScroll: true });
  };
  const picture = new Picture(camera, add);
  picture.onResize = () => drawMarks();

  function changed() {
    forgetTrial();
    draw();
  }

  function forgetTrial() {
    tried = null;
    for (const point of points) point.error = "";
    for (const error of list.querySelectorAll(".error")) error.remove();
  }

  function draw() {
    drawMarks();
    list.replaceChildren(...points.map((point, index) => h("li", {},
      percent("left %", point.at[0], (value) => set(point.at, 0, value)),
      percent("top %", point.at[1], (value) => set(point.at, 1, value)),
      h("span", { class: "metres" },
        number("x, m", metre(point, 0), (value) => set(point.metres ??= [NaN, NaN], 0, value)),
        number("y, m", metre(point, 1), (value) => set(point.metres ??= [NaN, NaN], 1, value))),
      ground ? h("button", { type: "button", "aria-pressed": String(point === placed), "aria-label": `place point ${index + 1} on the map`, onclick: () => choose(point) }, "Place") : null,
      h("button", { type: "button", "aria-label": `delete point ${index + 1}`, onclick: () => {
        points.splice(index, 1);
        if (point === placed) placed = null;
        changed();
      } }, "Delete"),
      point.error ? h("p", { class: "error" }, point.error) : null)));
  }

  function drawMarks() {
    picture.marks.replaceChildren(...(tried ? [grid(tried, picture, points)] : []), ...points.map((point, index) => picture.spot(point.at, index + 1, point === placed ? "placed" : "")));
    if (ground) ground.live.replaceChildren(...points.flatMap((point, index) => (isKnown(point) ? [spotOn(ground, point.metres, index + 1, point === placed)] : [])));
  }

  /** @param {[number, number]} pair
   * @param {number} axis
   * @param {number} value
   */
  function set(pair, axis, value) {
    pair[axis] = value;
    forgetTrial();
    drawMarks();
  }

  function choose(point) {
    placed = point;
    draw();
    said.textContent = `Click the place of point ${points.indexOf(point) + 1} on the map.`;
    ground.drawing.scrollIntoView({ block: "nearest" });
  }

  /** A click on the map.
   * @param {MouseEvent} event
   */
  function place(event) {
    const point = placed || points.find((one) => !isKnown(one));
    if (!point) {
      said.textContent = "Click a point in the picture first.";
      return;
    }
    const [x, y] = pointIn(ground.drawing, event);
    placed = point;
    point.metres = [round(x), round(-y)];
    said.textContent = `Point ${points.indexOf(point) + 1} is at ${point.metres.join(", ")} m.`;
    changed();
  }

  async function send(isTrial) {
    if (points.length < LEAST_POINTS) throw new Error(`at least ${LEAST_POINTS} points are needed, spread over the ground`);
    const missing = points.findIndex((point) => !isKnown(point));
    if (missing >= 0) throw new Error(`point ${missing + 1} has no metres`);
    const answer = await request("PUT", `${path}/calibration${isTrial ? "?try=true" : ""}`, { points: points.map(({ at, metres }) => ({ at, metres })) });
    answer.points.forEach((one, index) => {
      points[index].error = `off by ${one.error_m.toFixed(2)} m, ${one.error_px.toFixed(1)} pixels`;
    });
    tried = answer;
    draw();
    return answer;
  }

  const said = editor(`Calibration: ${titleOfCamera(camera)}`, [h("p", { class: "sum" }, PURPOSE), state], [picture.element, map], list, [
    h("button", { type: "button", onclick: () => add(0.5, 0.5) }, "Add a point"),
    h("button", { type: "button", onclick: () => attempt(said, async () => `Error ${(await send(true)).error_m.toFixed(2)} m. The grid shows the ground; four points always fit, so add a fifth to check.`) }, "Try"),
    h("button", { type: "button", onclick: () => attempt(said, async () => {
      const answer = await send(false);
      await readState();
      return answer.done === "nothing" ? "Nothing has changed." : "Saved. The camera starts again with it within seconds.";
    }) }, "Save"),
    h("button", { type: "button", onclick: () => attempt(said, async () => {
      await request("DELETE", `${path}/calibration`);
      points = [];
      placed = null;
      changed();
      await readState();
      return "The points are deleted.";
    }) }, "Delete all"),
  ]);

  /** Says whether the camera has a calibration, and what saving does to it. */
  async function readState() {
    const [settings, calibration] = await Promise.all([get(`${path}/settings`, abort.signal), get("/calibration", abort.signal)]);
    state.textContent = stateOf(settings, calibration.cameras.find((one) => one.camera === camera));
    return { settings, calibration };
  }

  async function begin() {
    const [{ settings, calibration }, plan] = await Promise.all([readState(), readPlan(abort.signal), readCameras(abort.signal)]);
    const views = calibration.cameras.filter((one) => one.view.length);
    if (views.length || plan) {
      ground = new Ground(views, plan, "map, to click the places of the points");
      ground.drawing.addEventListener("click", place);
      ground.onZoom = drawMarks;
      map.replaceChildren(h("p", { class: "sum" }, "The ground: click where the newest point is, or choose one below with Place. The grid has lines every 10 m."), ground.element);
    } else map.replaceChildren(h("p", { class: "sum" }, "To click places instead of writing metres, put a floor plan under the ", h("button", { type: "button", class: "link", onclick: () => go({ calibrate: null, view: "map" }) }, "map"), " first."));
    if (settings.calibration_points && !points.length) points = settings.calibration_points.points.map((one) => ({ ...one, error: "" }));
    changed();
  }

  draw();
  begin().catch((error) => {
    if (error.name !== "AbortError") said.textContent = `Not done: ${error.message}.`;
  });
  return () => abort.abort();
}

/** @param {Pair} point */
function isKnown(point) {
  return point.metres !== null && !point.metres.some(Number.isNaN);
}

function metre(point, axis) {
  return point.metres === null || Number.isNaN(point.metres[axis]) ? "" : point.metres[axis];
}

function round(metres) {
  return Math.round(metres * 100) / 100;
}

function stateOf(settings, known) {
  const fits = known && known.error_m !== null ? `, with an error of ${known.error_m.toFixed(2)} m` : "";
  const file = settings.has_calibration;
  if (settings.calibration_points) {
    return `It is calibrated by ${settings.calibration_points.points.length} points${fits}. Saving replaces them.${file ? " They count instead of the file that the site file names; Delete all brings that back." : ""}`;
  }
  if (file || known) return `It is calibrated already, by a file that the site file names${fits}. Points that you save here count instead of it; Delete all brings it back.`;
  return "It is not calibrated yet.";
}

/** A numbered spot on the map. */
function spotOn(ground, [x, y], index, isPlaced) {
  const radius = ground.size / 80;
  return svg("g", { class: `corner ${isPlaced ? "placed" : ""}` },
    svg("circle", { cx: x, cy: -y, r: radius }),
    svg("text", { x: x + radius * 1.3, y: -y - radius, "font-size": ground.size / 34 }, String(index)));
}
