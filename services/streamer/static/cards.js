// Identities as cards: crops, who it is, where and since when, and what to do with it.

import { openIdentity, toggleFollow } from "./navigation.js";
import { titleOfCamera } from "./panel_body.js";
import { clockTime, colourOf, cropAddress, duration, get, h, swatch, titleOf } from "./parts.js";

/** The newest crops of each identity.
 * @param {string[]} cameras
 * @param {AbortSignal} signal
 * @returns {Promise<Map<number, Array<any>>>} by gid, the newest first
 */
export async function newestCrops(cameras, signal) {
  const pages = await Promise.all(cameras.map((camera) => get(`/cameras/${encodeURIComponent(camera)}/crops?limit=64`, signal).catch(() => ({ crops: [] }))));
  const found = new Map();
  for (const crops of pages.flatMap((one) => one.crops)) {
    if (crops.gid === null) continue;
    if (!found.has(crops.gid)) found.set(crops.gid, []);
    found.get(crops.gid).push(crops);
  }
  for (const list of found.values()) list.sort((a, b) => Number(b.newest.time_ns) - Number(a.newest.time_ns));
  return found;
}

/** One card.
 * @param {any} identity an Identity of the API
 * @param {Array<any>} crops its newest crops
 * @param {HTMLElement} [before] the card that showed it until now; keeps its place in the page
 * @param {string} [note] a line more
 * @returns {HTMLElement}
 */
export function card(identity, crops, before, note) {
  const element = before || h("li", { class: "card", "data-gid": identity.gid });
  element.style.setProperty("--colour", colourOf(identity.gid));
  element.replaceChildren(
    h("div", { class: "crops" }, ...crops.slice(0, 3).map((one) => h("img", { class: "crop", src: cropAddress(one.newest), alt: `in ${one.camera}` })), crops.length ? null : h("span", { class: "crop none" })),
    h("div", { class: "about" },
      h("p", { class: "who" }, swatch(identity.gid), titleOf(identity), identity.class === null ? "" : ` · ${identity.class}`),
      h("p", {}, identity.cameras.map(titleOfCamera).join(", ")),
      h("p", {}, when(identity)),
      note ? h("p", {}, note) : null),
    h("div", { class: "does" },
      h("button", { type: "button", class: "follow", "data-key": `follow-${identity.gid}`, "aria-pressed": "false", onclick: () => toggleFollow(identity.gid) }, "Follow"),
      h("button", { type: "button", "data-key": `open-${identity.gid}`, onclick: () => openIdentity(identity.gid), "aria-label": `${titleOf(identity)}: journey` }, "Journey")));
  return element;
}

function when(identity) {
  if (!identity.present) return `last seen at ${clockTime(identity.last_seen)}`;
  const since = (Date.now() - Date.parse(identity.first_seen)) / 1000;
  return `first seen at ${clockTime(identity.first_seen)}${Number.isFinite(since) && since >= 0 ? ` (${duration(since)} ago)` : ""}`;
}
