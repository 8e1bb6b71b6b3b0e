// What the parts of the panel share: elements, colours, texts, and requests.

/** An element with attributes and children. Texts become text nodes, so nothing in them is ever markup.
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Object<string, any>} attributes
 * @param {...(Node|string|null)} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") Object.assign(element.style, value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

/** All elements that a selector finds.
 * @param {string} css
 * @param {ParentNode} [root]
 * @returns {HTMLElement[]}
 */
export function every(css, root = document) {
  return [.../** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(css))];
}

const GOLDEN = 0.618033988749895;

/** The colour of an identity, as the worker draws it (services/camera_worker/annotation.py).
 * @param {number} gid
 * @returns {string}
 */
export function colourOf(gid) {
  const hue = (gid * GOLDEN) % 1;
  return `hsl(${(hue * 360).toFixed(1)} 85% ${(50 + 12 * ((gid % 3) - 1)).toFixed(0)}%)`;
}

/** A spot in the colour of an identity.
 * @param {number} gid
 * @returns {HTMLElement}
 */
export function swatch(gid) {
  return h("span", { class: "swatch", style: { background: colourOf(gid) }, "aria-hidden": "true" });
}

/** What people call an identity.
 * @param {{gid: number, name: string|null}} identity
 * @returns {string}
 */
export function titleOf(identity) {
  return identity.name || `#${identity.gid}`;
}

/** The address of a crop; a new one every two seconds at most, because the newest crop changes all the time.
 * @param {{url: string, time_ns: string}} crop
 * @returns {string}
 */
export function cropAddress(crop) {
  return `${crop.url}?version=${Math.floor(seconds(crop.time_ns) / 2)}`;
}

/** How long something takes.
 * @param {number} seconds
 * @returns {string}
 */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  return `${Math.round(whole / 3600)} h`;
}

/** A time of day.
 * @param {string|null} iso
 * @returns {string}
 */
export function clockTime(iso) {
  return iso ? new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" }) : "–";
}

/** Nanoseconds as seconds; only differences are exact.
 * @param {string|null} text
 * @returns {number}
 */
export function seconds(text) {
  return text === null ? NaN : Number(text) / 1e9;
}

/** The JSON at a path of the API.
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export function get(path, signal) {
  return request("GET", path, undefined, signal);
}

/** What the API answers.
 * @param {"GET"|"POST"|"PUT"|"PATCH"|"DELETE"} method
 * @param {string} path
 * @param {any} content a Blob is sent as it is, anything else as JSON; undefined: no body
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} the JSON; rejects with the reason, for people
 */
export async function request(method, path, content, signal) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  let sent = content;
  if (content !== undefined && !(content instanceof Blob)) {
    headers["Content-Type"] = "application/json";
    sent = JSON.stringify(content);
  }
  const response = await fetch(`/api/v1${path}`, { method, signal, headers, body: sent });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const details = (answer.errors || []).map((one) => `${one.parameter} ${one.message}`).join("; ");
  const error = new Error(details || answer.detail || answer.title || `the streamer answered ${response.status}`);
  error.name = response.status === 404 ? "NotFound" : "Refused";
  throw error;
}

/** A list to choose from.
 * @param {string} label
 * @param {Array<[string, string]>} options value and text
 */
export function select(label, options) {
  return h("select", { "aria-label": label }, ...options.map(([value, text]) => h("option", { value }, text)));
}

/** Calls `work` now and every `milliseconds` after it has finished, while the page is visible.
 * @param {(signal: AbortSignal) => Promise<void>} work
 * @param {number} milliseconds
 * @returns {() => void} stops it
 */
export function repeat(work, milliseconds) {
  const stopped = new AbortController();
  let timer = 0;
  const step = async () => {
    if (!document.hidden) await work(stopped.signal).catch(() => {});
    if (!stopped.signal.aborted) timer = setTimeout(step, milliseconds);
  };
  step();
  return () => {
    stopped.abort();
    clearTimeout(timer);
  };
}
