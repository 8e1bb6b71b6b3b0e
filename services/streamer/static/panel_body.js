// The body of the panel, which one view at a time draws in.

import { go } from "./navigation.js";
import { every, get, h } from "./parts.js";

export const body = document.getElementById("panel-body");

/** What people call each camera, as the views learn it. @type {Map<string, string>} */
export const titles = new Map();

/** @param {string} camera
 * @returns {string}
 */
export function titleOfCamera(camera) {
  return titles.get(camera) || camera;
}

/** The cameras of the site; learns their titles.
 * @param {AbortSignal} signal
 * @returns {Promise<Array<any>>}
 */
export async function readCameras(signal) {
  const found = await get("/cameras", signal);
  for (const camera of found.cameras) titles.set(camera.name, camera.title || camera.name);
  return found.cameras;
}

/** Whether the visitor may change something; otherwise nothing offers to. */
export const isOperator = document.body.dataset.role !== "viewer";

/** Does `work`; shows an error in the panel and throws it on.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function guarded(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") {
      const text = error.name === "NotFound" ? `${error.message}.` : `No answer: ${error.message}. Trying again …`;
      body.replaceChildren(
        h("p", { class: "empty", role: "status" }, text),
        h("button", { type: "button", "data-key": "back", onclick: () => go({ gid: null }) }, "‹ Back"));
    }
    throw error;
  }
}

/** Draws again without taking the keyboard's focus or the place in the list away.
 * @param {() => void} draw
 */
export function keepFocus(draw) {
  const active = document.activeElement;
  const key = active instanceof HTMLElement && body.contains(active) ? active.dataset.key : undefined;
  const keys = every("[data-key]", body).map((element) => element.dataset.key);
  const top = body.scrollTop;
  draw();
  body.scrollTop = top;
  if (key && (!document.activeElement || document.activeElement === document.body)) {
    const there = every("[data-key]", body);
    // What had the focus may be gone: its neighbour gets it, or the panel, but never nothing.
    const again = there.find((element) => element.dataset.key === key) || there[Math.min(keys.indexOf(key), there.length - 1)] || body;
    again.focus({ preventScroll: true });
  }
}

/** Shows on the buttons "Follow" which identity is followed.
 * @param {number|null} gid
 */
export function markFollowed(gid) {
  for (const button of every("button.follow", body)) {
    const own = Number(/** @type {HTMLElement} */ (button.closest("[data-gid]")).dataset.gid);
    button.setAttribute("aria-pressed", String(own === gid));
    button.textContent = own === gid ? "Following" : "Follow";
  }
}
