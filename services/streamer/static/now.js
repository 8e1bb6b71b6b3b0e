// The view "Now": the identities that are in view.

import { card, newestCrops } from "./cards.js";
import { place } from "./navigation.js";
import { body, guarded, keepFocus, markFollowed, readCameras } from "./panel_body.js";
import { every, get, h, repeat } from "./parts.js";

const EVERY_MS = 1000;

/** @returns {() => void} stops it */
export function showNow() {
  return repeat(draw, EVERY_MS);
}

async function draw(signal) {
  const [found, cameras] = await guarded(() => Promise.all([get("/identities?present=true&limit=200", signal), readCameras(signal)]));
  const crops = await newestCrops(cameras.map((camera) => camera.name), signal);
  const before = new Map(every(".card", body).map((one) => [Number(one.dataset.gid), one]));
  const list = h("ul", { class: "cards" });
  // Cards that are moved lose the focus, so that all of it is one drawing.
  keepFocus(() => {
    list.append(...inOrder(found.identities, [...before.keys()]).map((identity) => card(identity, crops.get(identity.gid) || [], before.get(identity.gid))));
    body.replaceChildren(h("p", { class: "sum" }, count(found.identities.length)), list, h("p", { class: "legend" }, "A grey box in a picture has no number yet: it is decided within a moment."));
  });
  markFollowed(place().follow);
}

/** The newest first; but while somebody points at the list or is in it, what is there keeps its place. */
function inOrder(identities, shown) {
  if (!body.matches(":hover") && !body.contains(document.activeElement)) return identities;
  const place = new Map(shown.map((gid, index) => [gid, index]));
  return [...identities].sort((a, b) => (place.get(a.gid) ?? shown.length) - (place.get(b.gid) ?? shown.length));
}

function count(number) {
  if (number === 0) return "Nobody is in view. Who appears is listed here.";
  return number === 1 ? "1 identity in view" : `${number} identities in view`;
}
