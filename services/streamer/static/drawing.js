// What an operator draws on the picture of a camera: areas that are ignored, and points whose places on the ground are
// known. Points are kept in fractions of the picture's width and height.

import { go } from "./navigation.js";
import { body, titleOfCamera } from "./panel_body.js";
import { every, get, h, request } from "./parts.js";
import { pointIn, svg } from "./svg.js";

const LEAST_CORNERS = 3;
const LEAST_POINTS = 4;
const GRID_LINES = 10; // in each direction, at most twice as many

/** The picture of a camera, to click on. */
class Picture {
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

function percent(label, value, onChange) {
  return number(label, (value * 100).toFixed(2), (changed) => onChange(clamped(changed / 100)), { min: 0, max: 100, step: "any" });
}

function number(label, value, onChange, attributes = {}) {
  return h("label", {}, h("span", {}, label), h("input", { type: "number", required: true, step: "any", value, ...attributes, onchange: (event) => onChange(Number(event.target.value)) }));
}

/** The frame of both editors: a heading, what to do, the picture, a list, buttons, and what became of it. */
function editor(camera, heading, advice, picture, list, buttons) {
  const said = h("p", { class: "said", role: "status" });
  body.replaceChildren(h("div", { class: "editor" },
    h("button", { type: "button", onclick: () => go({ mask: null, calibrate: null }) }, "‹ Cameras"),
    h("h2", {}, `${heading}: ${titleOfCamera(camera)}`),
    h("p", { class: "sum" }, advice),
    picture.element,
    list,
    h("div", { class: "does" }, ...buttons),
    said));
  return said;
}

async function attempt(said, work) {
  said.textContent = "…";
  try {
    said.textContent = await work();
  } catch (error) {
    said.textContent = `Not done: ${error.message}.`;
  }
}

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

  const said = editor(camera, "Mask", "Objects in these areas are ignored: a road behind a fence, a mirror, a screen. Click the corners of an area, then close it.", picture, list, [
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

/** The calibration of a camera.
 * @param {string} camera
 * @returns {() => void} stops it
 */
export function showCalibration(camera) {
  const path = `/cameras/${encodeURIComponent(camera)}`;
  /** @type {Array<{at: [number, number], metres: [number, number]|null, error: string}>} */
  let points = [];
  let tried = null;
  const list = h("ol", { class: "points" });
  const add = (x, y) => {
    points.push({ at: [x, y], metres: null, error: "" });
    changed();
    every("li:last-child .metres input", list)[0]?.focus({ preventScroll: true });
  };
  const picture = new Picture(camera, add);
  picture.onResize = () => draw();

  function changed() {
    tried = null;
    for (const point of points) point.error = "";
    draw();
  }

  function draw() {
    picture.marks.replaceChildren(...(tried ? [grid(tried, picture, points)] : []), ...points.map((point, index) => picture.spot(point.at, index + 1)));
    list.replaceChildren(...points.map((point, index) => h("li", {},
      percent("left %", point.at[0], (value) => set(point.at, 0, value)),
      percent("top %", point.at[1], (value) => set(point.at, 1, value)),
      h("span", { class: "metres" },
        number("x, m", point.metres === null ? "" : point.metres[0], (value) => set(point.metres ??= [NaN, NaN], 0, value)),
        number("y, m", point.metres === null || Number.isNaN(point.metres[1]) ? "" : point.metres[1], (value) => set(point.metres ??= [NaN, NaN], 1, value))),
      h("button", { type: "button", "aria-label": `delete point ${index + 1}`, onclick: () => {
        points.splice(index, 1);
        changed();
      } }, "Delete"),
      point.error ? h("p", { class: "error" }, point.error) : null)));
  }

  function set(pair, axis, value) {
    pair[axis] = value;
    tried = null;
    for (const point of points) point.error = "";
    for (const error of list.querySelectorAll(".error")) error.remove();
    picture.marks.replaceChildren(...points.map((point, index) => picture.spot(point.at, index + 1)));
  }

  async function send(isTrial) {
    if (points.length < LEAST_POINTS) throw new Error(`at least ${LEAST_POINTS} points are needed, spread over the ground`);
    const missing = points.findIndex((point) => point.metres === null || point.metres.some(Number.isNaN));
    if (missing >= 0) throw new Error(`point ${missing + 1} has no metres`);
    const answer = await request("PUT", `${path}/calibration${isTrial ? "?try=true" : ""}`, { points: points.map(({ at, metres }) => ({ at, metres })) });
    answer.points.forEach((one, index) => {
      points[index].error = `off by ${one.error_m.toFixed(2)} m, ${one.error_px.toFixed(1)} pixels`;
    });
    tried = answer;
    draw();
    return answer;
  }

  const said = editor(camera, "Calibration", "Click places on the ground whose position you know, at least four, and write where each is in metres: on the map of your site, or measured from one corner. Measure from the same corner for all cameras. Then the map shows what this camera sees, and identities are told apart by where they are.", picture, list, [
    h("button", { type: "button", onclick: () => add(0.5, 0.5) }, "Add a point"),
    h("button", { type: "button", onclick: () => attempt(said, async () => `Error ${(await send(true)).error_m.toFixed(2)} m. The grid shows the ground; four points always fit, so add a fifth to check.`) }, "Try"),
    h("button", { type: "button", onclick: () => attempt(said, async () => ((await send(false)).done === "nothing" ? "Nothing has changed." : "Saved. The camera starts again with it within seconds.")) }, "Save"),
    h("button", { type: "button", onclick: () => attempt(said, async () => {
      await request("DELETE", `${path}/calibration`);
      points = [];
      changed();
      return "The points are deleted.";
    }) }, "Delete all"),
  ]);
  draw();
  get(`${path}/settings`).then((settings) => {
    const found = settings.calibration_points;
    if (!found || points.length) return;
    points = found.points.map((one) => ({ ...one, error: "" }));
    changed();
  }).catch((error) => {
    said.textContent = `Not done: ${error.message}.`;
  });
  return () => {};
}

/** Lines on the ground as the calibration sees them, around the points. */
function grid(tried, picture, points) {
  const toPicture = inverse(tried.image_to_ground);
  const xs = points.map((point) => point.metres[0]);
  const ys = points.map((point) => point.metres[1]);
  const extent = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
  const step = niceStep(extent / GRID_LINES);
  const range = (values) => [Math.floor((Math.min(...values) - extent / 2) / step) * step, Math.ceil((Math.max(...values) + extent / 2) / step) * step];
  const [[x0, x1], [y0, y1]] = [range(xs), range(ys)];
  const at = (x, y) => {
    const [u, v, depth] = toPicture.map((row) => row[0] * x + row[1] * y + row[2]);
    return depth > 1e-12 ? [(u / depth) * (picture.width / tried.width), (v / depth) * (picture.height / tried.height)] : null;
  };
  let path = "";
  const line = (from, to) => {
    let before = null;
    for (let part = 0; part <= 40; part++) {
      const point = at(from[0] + ((to[0] - from[0]) * part) / 40, from[1] + ((to[1] - from[1]) * part) / 40);
      if (point) path += `${before ? "L" : "M"}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
      before = point;
    }
  };
  for (let x = x0; x <= x1 + step / 2; x += step) line([x, y0], [x, y1]);
  for (let y = y0; y <= y1 + step / 2; y += step) line([x0, y], [x1, y]);
  return svg("path", { class: "ground-grid", d: path });
}

/** 1, 2 or 5 times a power of ten. */
function niceStep(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-3)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= value);
}

/** The inverse of a 3 × 3 matrix, up to a positive factor. */
function inverse([[a, b, c], [d, e, f], [g, i, j]]) {
  const determinant = a * (e * j - f * i) - b * (d * j - f * g) + c * (d * i - e * g);
  const sign = Math.sign(determinant);
  return [
    [e * j - f * i, c * i - b * j, b * f - c * e],
    [f * g - d * j, a * j - c * g, c * d - a * f],
    [d * i - e * g, b * g - a * i, a * e - b * d],
  ].map((row) => row.map((value) => value * sign));
}
