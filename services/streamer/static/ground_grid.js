// The grid on the picture of a camera that shows what a calibration makes of the ground.

import { svg } from "./svg.js";

const GRID_LINES = 10; // in each direction, at most twice as many

/** Lines on the ground as the calibration sees them, around the points.
 * @param {{image_to_ground: any, width: number, height: number}} tried
 * @param {{width: number, height: number}} picture in which it is drawn
 * @param {Array<{metres: [number, number]|null}>} points
 */
export function grid(tried, picture, points) {
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
