// The view "Find": identities by number, name, class, camera and time, or by a picture of one.

import { card, newestCrops } from "./cards.js";
import { asJpeg } from "./jpeg.js";
import { openIdentity, place } from "./navigation.js";
import { body, markFollowed, readCameras, titleOfCamera } from "./panel_body.js";
import { get, h, request, select } from "./parts.js";

const AT_ONCE = 50;
const LIKELY = 2; // natural logarithm of the odds; below, one crop says little
const MOST_LOOKED_UP = 12; // identities out of view whose crops are asked for one by one
const LARGEST = 640; // pixels; a crop needs no more

/** @param {number|null} like the identity whose look-alikes are wanted
 * @returns {() => void} stops it
 */
export function showFind(like) {
  const abort = new AbortController();
  const who = h("input", { type: "search", "aria-label": "number or name", placeholder: "number or name" });
  const objectClass = select("class", [["", "all classes"]]);
  const camera = select("camera", [["", "all cameras"]]);
  const since = h("input", { type: "datetime-local", step: 1, "aria-label": "seen after" });
  const until = h("input", { type: "datetime-local", step: 1, "aria-label": "seen before" });
  const file = h("input", { type: "file", accept: "image/*", class: "unseen", "aria-label": "a picture of one object", onchange: () => search(file.files[0]) });
  const found = h("div", { class: "found", role: "region", "aria-label": "found", "aria-live": "polite" });
  let cameras = [];

  const filters = () => {
    const parts = new URLSearchParams();
    if (objectClass.value) parts.set("class", objectClass.value);
    if (camera.value) parts.set("camera", camera.value);
    if (since.value) parts.set("since", new Date(since.value).toISOString());
    if (until.value) parts.set("until", new Date(until.value).toISOString());
    return parts;
  };

  /** @param {Event} [event] */
  async function find(event) {
    if (event) event.preventDefault();
    const words = who.value.trim();
    const gid = /^#?(\d{1,15})$/.exec(words);
    if (gid) {
      openIdentity(Number(gid[1]));
      return;
    }
    const parts = filters();
    if (words) parts.set("name_contains", words);
    await show(null, parts);
  }

  /** Shows a page of identities; those of a cursor follow the ones that are there. */
  async function show(cursor, parts) {
    if (cursor === null) found.replaceChildren("…");
    await attempt(async () => {
      const page = new URLSearchParams(parts);
      page.set("limit", String(AT_ONCE));
      if (cursor) page.set("cursor", cursor);
      const answer = await get(`/identities?${page}`, abort.signal);
      const crops = await cropsOf(answer.identities, cameras, abort.signal);
      const list = cursor ? found.querySelector(".cards") : h("ul", { class: "cards" });
      list.append(...answer.identities.map((identity) => card(identity, crops.get(identity.gid) || [])));
      const more = answer.next ? h("button", { type: "button", onclick: () => show(answer.next, parts) }, "Older ones") : null;
      const count = list.children.length;
      found.replaceChildren(h("p", { class: "sum" }, count ? `${count} found, the highest number first` : "Nothing is remembered that fits."), list, ...(more ? [more] : []));
      markFollowed(place().follow);
    });
  }

  /** Asks which identities look like a picture.
   * @param {Blob} [picture]
   */
  async function search(picture) {
    if (!picture) return;
    found.replaceChildren("A worker looks at the picture …");
    await attempt(async () => {
      const jpeg = await asJpeg(picture, LARGEST);
      const answer = await request("POST", `/identities/search?${filters()}`, jpeg, abort.signal);
      const known = await cropsOf(answer.matches.map((match) => match.identity), cameras, abort.signal);
      found.replaceChildren(
        h("p", { class: "sum" }, h("img", { class: "crop", src: URL.createObjectURL(jpeg), alt: "what was searched" }), answer.matches.length ? " The most alike come first." : " No identity that is remembered looks like this."),
        h("ul", { class: "cards" }, ...answer.matches.map((match) => card(match.identity, known.get(match.identity.gid) || [], undefined, likeness(answer.mode, match)))));
      markFollowed(place().follow);
    });
    file.value = "";
  }

  async function attempt(work) {
    try {
      await work();
    } catch (error) {
      if (error.name !== "AbortError") found.replaceChildren(h("p", { class: "empty", role: "status" }, `Not found: ${error.message}.`));
    }
  }

  body.replaceChildren(
    h("form", { class: "filters", onsubmit: find }, who, objectClass, camera, h("span", {}),
      h("label", {}, "seen after", since), h("label", {}, "seen before", until),
      h("button", { type: "submit" }, "Find"),
      h("button", { type: "button", onclick: () => file.click() }, "By a picture …"), file),
    found);
  readCameras(abort.signal).then((all) => {
    cameras = all.map((one) => one.name);
    camera.append(...all.map((one) => h("option", { value: one.name }, titleOfCamera(one.name))));
    return get("/identities?limit=500", abort.signal);
  }).then(async (newest) => {
    const classes = new Set(newest.identities.map((identity) => identity.class).filter((one) => one !== null).map(String));
    objectClass.append(...[...classes].sort().map((one) => h("option", { value: one }, one)));
    return like === null ? find() : search(await pictureOf(like, abort.signal));
  }).catch(() => {});
  who.focus({ preventScroll: true });
  return () => abort.abort();
}

/** The best crop of an identity. */
async function pictureOf(gid, signal) {
  const { crops } = await get(`/identities/${gid}`, signal);
  if (!crops || !crops.length) throw new Error(`no picture of #${gid} is kept`);
  return (await fetch(crops[0].best.url, { signal })).blob();
}

/** The crops of identities; of those out of view, the first few are looked up. */
async function cropsOf(identities, cameras, signal) {
  const crops = await newestCrops(cameras, signal);
  const missing = identities.filter((identity) => !crops.has(identity.gid)).slice(0, MOST_LOOKED_UP);
  await Promise.all(missing.map(async (identity) => {
    const found = await get(`/identities/${identity.gid}`, signal).catch(() => ({ crops: null }));
    if (found.crops && found.crops.length) crops.set(identity.gid, found.crops);
  }));
  return crops;
}

function likeness(mode, match) {
  if (mode === "reference") return `similarity ${match.similarity.toFixed(2)}`;
  const words = match.score >= LIKELY ? "very likely the same" : match.score >= 0 ? "perhaps the same" : "rather another one";
  return `${words} (score ${match.score.toFixed(1)})`;
}
