// Where the visitor is: in the address, so that a link opens the same view and "back" returns.

/** The views of the panel, in the order of its tabs. */
export const VIEWS = ["now", "map", "events", "find", "cameras"];

/** @typedef {{view: string, gid: number|null, follow: number|null, like: number|null, mask: string|null, calibrate: string|null, open: boolean}} Place
 * `like`: the identity whose look-alikes are searched; `mask`, `calibrate`: the camera whose mask or calibration is drawn. */

/** @returns {Place} */
export function place() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const number = (name) => {
    const value = Number(parts.get(name));
    return Number.isSafeInteger(value) && value > 0 ? value : null;
  };
  const view = parts.get("view");
  return {
    view: view !== null && VIEWS.includes(view) ? view : VIEWS[0],
    gid: number("gid"),
    follow: number("follow"),
    like: number("like"),
    mask: parts.get("mask"),
    calibrate: parts.get("calibrate"),
    open: parts.has("view") || parts.has("gid"),
  };
}

/** Changes the address; null removes a part.
 * @param {Record<string, string|number|null>} changes
 */
export function go(changes) {
  const parts = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) parts.delete(name);
    else parts.set(name, String(value));
  }
  const before = location.hash;
  location.hash = parts.toString();
  if (!parts.toString() && before) window.dispatchEvent(new HashChangeEvent("hashchange"));
}

/** Opens the journey of an identity.
 * @param {number} gid
 */
export function openIdentity(gid) {
  go({ gid });
}

/** Follows an identity, or stops if it is the one that is followed.
 * @param {number} gid
 */
export function toggleFollow(gid) {
  go({ follow: place().follow === gid ? null : gid });
}
