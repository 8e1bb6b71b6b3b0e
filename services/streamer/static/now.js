// The view "Now": the identities that are in view.

import { openIdentity, place, toggleFollow } from "./navigation.js";
import { body, guarded, keepFocus, markFollowed, titleOfCamera, titles } from "./panel_body.js";
import { clockTime, colourOf, cropAddress, duration, get, h, repeat, swatch, titleOf } from "./parts.js";

const EVERY_MS = 1000;

/** @returns {() => void} stops it */
export function showNow() {
  return repeat(draw, EVERY_MS);
}

async function draw(signal) {
  const [found, cameras] = await guarded(() => Promise.all([get("/identities?present=true&limit=200", signal), get("/cameras", signal)]));
  for (const camera of cameras.cameras) titles.set(camera.name, camera.title || camera.name);
  const crops = await newestCrops(cameras.cameras.map((camera) => camera.name), signal);
  const before = new Map([...body.querySelectorAll(".card")].map((one) => [Number(one.dataset.gid), one]));
  const list = h("ul", { class: "cards" });
  list.append(...found.identities.map((identity) => card(identity, crops.get(identity.gid) || [], before.get(identity.gid))));
  keepFocus(() => body.replaceChildren(h("p", { class: "sum" }, count(found.identities.length)), list));
  markFollowed(place().follow);
}

function count(number) {
  if (number === 0) return "Nobody is in view. Who appears is listed here.";
  return number === 1 ? "1 identity in view" : `${number} identities in view`;
}

/** gid → its newest crops, the newest first. */
async function newestCrops(cameras, signal) {
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

function card(identity, crops, before) {
  const element = before || h("li", { class: "card", "data-gid": identity.gid });
  element.style.setProperty("--colour", colourOf(identity.gid));
  const since = (Date.now() - Date.parse(identity.first_seen)) / 1000;
  keepFocus(() => element.replaceChildren(
    h("div", { class: "crops" }, ...crops.slice(0, 3).map((one) => h("img", { class: "crop", src: cropAddress(one.newest), alt: `in ${one.camera}` })), crops.length ? null : h("span", { class: "crop none" })),
    h("div", { class: "about" },
      h("p", { class: "who" }, swatch(identity.gid), titleOf(identity), identity.class === null ? "" : ` · ${identity.class}`),
      h("p", {}, identity.cameras.map(titleOfCamera).join(", ")),
      h("p", {}, `since ${clockTime(identity.first_seen)}`, Number.isFinite(since) && since >= 0 ? ` (${duration(since)})` : "")),
    h("div", { class: "does" },
      h("button", { type: "button", class: "follow", "data-key": `follow-${identity.gid}`, "aria-pressed": "false", onclick: () => toggleFollow(identity.gid) }, "Follow"),
      h("button", { type: "button", "data-key": `open-${identity.gid}`, onclick: () => openIdentity(identity.gid), "aria-label": `${titleOf(identity)}: journey` }, "Journey"))));
  return element;
}
