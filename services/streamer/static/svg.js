// SVG elements, and points in them.

/** An SVG element.
 * @param {string} name
 * @param {Record<string, any>} attributes
 * @param {...(Node|string|null)} children
 * @returns {SVGElement}
 */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

/** Where a click is, in the coordinates of a drawing.
 * @param {SVGSVGElement} drawing
 * @param {{clientX: number, clientY: number}} event
 * @returns {[number, number]}
 */
export function pointIn(drawing, event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse());
  return [point.x, point.y];
}
