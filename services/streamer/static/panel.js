// The panel beside the wall: who is in view now, what happened, and the journey of one identity.
//
// Plain modules without a library: there are three lists and one detail, each drawn again from what the API says.

import { Corrections } from "./corrections.js";
import { Follow } from "./follow.js";
import { journey, swatch } from "./journey.js";
import { clockTime, colourOf, cropAddress, duration, get, h, repeat, titleOf } from "./parts.js";

const NOW_MS = 1000;
const JOURNEY_MS = 2000;
const MOST_EVENTS = 200;
const KINDS = { appeared: "appeared", handover: "went over", merged: "merged", split: "split", left: "left", gap: "gap", recovered: "recovered", restored: "restored", named: "named", unnamed: "name removed", forgotten: "forgotten" };

const SITE_KINDS = new Set(["gap", "recovered", "restored"]);

/* global tiles, arrange, large */
const panel = document.getElementById("panel");
const body = document.getElementById("panel-body");
const toggle = document.getElementById("panel-toggle");
const follow = new Follow(() => tiles);
const page = { open: (gid) => go({ gid }), titles: new Map(), corrections: null };
const events = [];
let stop = () => {};
let shown = "";

// -- where we are: in the address, so that a link opens the same view and "back" returns ----------------------------

function place() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const gid = Number(parts.get("gid"));
  const follows = Number(parts.get("follow"));
  return {
    view: parts.get("view") === "events" ? "events" : "now",
    gid: Number.isInteger(gid) && gid > 0 ? gid : null,
    follow: Number.isInteger(follows) && follows > 0 ? follows : null,
    open: parts.has("view") || parts.has("gid"),
  };
}

function go(changes) {
  const parts = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) parts.delete(name);
    else parts.set(name, String(value));
  }
  location.hash = parts.toString();
  if (!parts.toString()) show();
}

function show() {
  const here = place();
  panel.hidden = !here.open;
  toggle.setAttribute("aria-expanded", String(here.open));
  follow.set(here.follow);
  const wanted = here.open ? `${here.view} ${here.gid}` : "";
  arrange();
  for (const tab of panel.querySelectorAll("[role=tab]")) tab.setAttribute("aria-selected", String(here.gid === null && tab.dataset.view === here.view));
  if (wanted === shown) {
    markFollowed(here.follow);
    return;
  }
  shown = wanted;
  stop();
  stop = () => {};
  if (!here.open) return;
  body.replaceChildren(h("p", { class: "empty" }, "Loading …"));
  if (here.gid !== null) stop = repeat((signal) => showJourney(here.gid, signal), JOURNEY_MS);
  else if (here.view === "events") stop = showEvents();
  else stop = repeat(showNow, NOW_MS);
}

// -- now ---------------------------------------------------------------------------------------------------------------

async function showNow(signal) {
  const [identities, cameras] = await guarded(() => Promise.all([get("/identities?present=true&limit=200", signal), get("/cameras", signal)]));
  for (const camera of cameras.cameras) page.titles.set(camera.name, camera.title || camera.name);
  const crops = await newestCrops(cameras.cameras.map((camera) => camera.name), signal);
  const cards = new Map([...body.querySelectorAll(".card")].map((card) => [Number(card.dataset.gid), card]));
  const wanted = identities.identities.map((identity) => card(identity, crops.get(identity.gid) || [], cards.get(identity.gid)));
  const list = h("ul", { class: "cards" });
  list.append(...wanted);
  keepFocus(() => body.replaceChildren(h("p", { class: "sum" }, count(identities.identities.length)), list));
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
  const cameras = identity.cameras.map((camera) => page.titles.get(camera) || camera);
  const since = (Date.now() - Date.parse(identity.first_seen)) / 1000;
  keepFocus(() => element.replaceChildren(
    h("div", { class: "crops" }, ...crops.slice(0, 3).map((one) => h("img", { class: "crop", src: cropAddress(one.newest), alt: `in ${one.camera}` })), crops.length ? null : h("span", { class: "crop none" })),
    h("div", { class: "about" },
      h("p", { class: "who" }, swatch(identity.gid), titleOf(identity), identity.class === null ? "" : ` · ${identity.class}`),
      h("p", {}, cameras.join(", ")),
      h("p", {}, `since ${clockTime(identity.first_seen)}`, Number.isFinite(since) && since >= 0 ? ` (${duration(since)})` : "")),
    h("div", { class: "does" },
      h("button", { type: "button", class: "follow", "data-key": `follow-${identity.gid}`, "aria-pressed": "false", onclick: () => toggleFollow(identity.gid) }, "Follow"),
      h("button", { type: "button", "data-key": `open-${identity.gid}`, onclick: () => page.open(identity.gid), "aria-label": `${titleOf(identity)}: journey` }, "Journey"))));
  return element;
}

function toggleFollow(gid) {
  go({ follow: place().follow === gid ? null : gid });
}

function markFollowed(gid) {
  for (const button of body.querySelectorAll("button.follow")) {
    const own = Number(button.closest("[data-gid]").dataset.gid);
    button.setAttribute("aria-pressed", String(own === gid));
    button.textContent = own === gid ? "Following" : "Follow";
  }
}

// -- one identity ---------------------------------------------------------------------------------------------------------

async function showJourney(gid, signal) {
  const identity = await guarded(() => get(`/identities/${gid}`, signal));
  // What an operator types stays: only what is below the forms is drawn again.
  let content = body.querySelector(`.journey[data-gid="${identity.gid}"]`);
  if (!content) {
    content = h("div", { class: "journey", "data-gid": identity.gid });
    page.corrections = new Corrections(identity, { open: page.open, changed: () => showJourney(gid, signal).catch(() => {}) });
    body.replaceChildren(
      h("div", { class: "bar-of-journey", "data-gid": identity.gid },
        h("button", { type: "button", "data-key": "back", onclick: () => go({ gid: null, view: place().view }) }, "‹ Back"),
        h("button", { type: "button", class: "follow", "data-key": "follow", "aria-pressed": "false", onclick: () => toggleFollow(identity.gid) }, "Follow")),
      page.corrections.element,
      content);
  }
  const open = new Set([...content.querySelectorAll("details[open]")].map((details) => details.dataset.key));
  keepFocus(() => content.replaceChildren(...journey(identity, page)));
  for (const details of content.querySelectorAll("details")) details.open = open.has(details.dataset.key);
  markFollowed(place().follow);
}

// -- events --------------------------------------------------------------------------------------------------------------

function showEvents() {
  const list = h("ol", { class: "events" });
  const kinds = h("select", { "aria-label": "kind of event", onchange: () => fill() }, h("option", { value: "" }, "all events"), ...Object.entries(KINDS).filter(([kind]) => !SITE_KINDS.has(kind)).map(([kind, text]) => h("option", { value: kind }, text)));
  const fill = () => list.replaceChildren(...events.filter((event) => !kinds.value || event.kind === kinds.value).slice(0, MOST_EVENTS).map(eventItem));
  body.replaceChildren(h("div", { class: "filters" }, kinds), list);
  const abort = new AbortController();
  let source = null;
  guarded(() => get(`/events?limit=${MOST_EVENTS}`, abort.signal)).then((found) => {
    if (abort.signal.aborted) return;
    events.splice(0, events.length, ...found.events);
    fill();
    const last = found.events.length ? `?after=${found.events[0].id}` : "";
    source = new EventSource(`/api/v1/events/stream${last}`);
    source.onmessage = (message) => {
      events.unshift(JSON.parse(message.data));
      events.length = Math.min(events.length, MOST_EVENTS);
      fill();
    };
  }, () => {});
  return () => {
    abort.abort();
    if (source) source.close();
  };
}

function eventItem(event) {
  const where = event.title || event.camera;
  const from = event.from_title || event.from_camera;
  const path = from && where ? `from ${from} to ${where}` : where ? `in ${where}` : "";
  const who = event.gid === null ? null : h("button", { type: "button", class: "link", onclick: () => page.open(event.gid) }, swatch(event.gid), `#${event.gid}`);
  const other = event.other_gid === null ? "" : event.kind === "merged" ? `with #${event.other_gid}` : `off #${event.other_gid}`;
  return h("li", {}, h("time", {}, clockTime(event.time)), " ", who, ` ${[KINDS[event.kind] || event.kind, other, path].filter(Boolean).join(" ")}`);
}

// -- helpers ---------------------------------------------------------------------------------------------------------------

/** Shows an error in the panel. */
async function guarded(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") body.replaceChildren(h("p", { class: "empty", role: "status" }, error.name === "NotFound" ? `${error.message}.` : `No answer: ${error.message}. Trying again …`),
      h("button", { type: "button", onclick: () => go({ gid: null, view: place().view }) }, "‹ Back"));
    throw error;
  }
}

/** Draws again without taking the keyboard's focus away. */
function keepFocus(draw) {
  const key = document.activeElement && body.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const top = body.scrollTop;
  draw();
  body.scrollTop = top;
  if (key && (!document.activeElement || document.activeElement === document.body)) {
    const again = [...body.querySelectorAll("[data-key]")].find((element) => element.dataset.key === key);
    if (again) again.focus({ preventScroll: true });
  }
}

toggle.addEventListener("click", () => go(place().open ? { view: null, gid: null } : { view: "now" }));
document.getElementById("panel-close").addEventListener("click", () => go({ view: null, gid: null }));
for (const tab of panel.querySelectorAll("[role=tab]")) tab.addEventListener("click", () => go({ view: tab.dataset.view, gid: null }));
document.querySelector("#following button").addEventListener("click", () => go({ follow: null }));
window.addEventListener("hashchange", show);
window.addEventListener("popstate", show);
show();
