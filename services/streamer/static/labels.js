// Where the names of spots on the map are written, so that none covers another one.

const LETTER = 0.58; // mean width of a letter, in heights of the text
const EDGE = 0.15; // room around a text, likewise

/** Places around a spot, in the order of preference: horizontal and vertical direction. */
const PLACES = [[1, -1], [1, 1], [-1, -1], [-1, 1], [0, -1], [0, 1]];

/** @typedef {{x: number, y: number, radius: number, text: string, place: number}} Spot
 * `place`: where its name was until now, an index in PLACES; −1: nowhere. */

/** @typedef {number[]} Box left, top, right and bottom */

/** Chooses a place for the name of each spot, the first ones first; −1: there is no room.
 * @param {Spot[]} spots
 * @param {number} height of the text
 * @param {Box[]} others what is written there already
 * @returns {number[]}
 */
export function placesOf(spots, height, others) {
  const taken = [...others];
  const dots = spots.map(({ x, y, radius }) => [x - radius, y - radius, x + radius, y + radius]);
  return spots.map((spot, index) => {
    // A name stays where it is as long as it can: one that jumps is hard to read.
    const wanted = [spot.place, ...PLACES.keys()].filter((place) => place >= 0);
    const found = wanted.find((place) => {
      const box = boxOf(spot, place, height);
      return !taken.some((other) => meet(box, other)) && !dots.some((dot, other) => other !== index && meet(box, dot));
    });
    if (found === undefined) return -1;
    taken.push(boxOf(spot, found, height));
    return found;
  });
}

/** Where the name of a spot is written: its anchor, and the point of its base line.
 * @param {Spot} spot
 * @param {number} place
 * @param {number} height of the text
 * @returns {{x: number, y: number, anchor: string}}
 */
export function anchorOf(spot, place, height) {
  const [across, down] = PLACES[Math.max(0, place)];
  const away = spot.radius * (across ? 0.8 : 1) + height * EDGE;
  return {
    x: spot.x + across * (spot.radius + height * EDGE),
    y: spot.y + (down < 0 ? -away : away + height * 0.75),
    anchor: across > 0 ? "start" : across < 0 ? "end" : "middle",
  };
}

/** What a text that is centred at a point covers.
 * @param {{x: number, y: number, text: string}} name
 * @param {number} height of the text
 * @returns {Box}
 */
export function centredBox({ x, y, text }, height) {
  const half = widthOf(text, height) / 2;
  return [x - half, y - height * 0.85, x + half, y + height * 0.25];
}

/** @param {string} text
 * @param {number} height
 */
export function widthOf(text, height) {
  return (text.length * LETTER + 2 * EDGE) * height;
}

/** Whether two boxes overlap.
 * @param {Box} a
 * @param {Box} b
 */
export function meet(a, b) {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}

function boxOf(spot, place, height) {
  const { x, y, anchor } = anchorOf(spot, place, height);
  const width = widthOf(spot.text, height);
  const left = x - (anchor === "start" ? 0 : anchor === "end" ? width : width / 2);
  return [left, y - height * 0.85, left + width, y + height * 0.25];
}
