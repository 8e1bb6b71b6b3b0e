// The wall of live pictures: one tile for each camera, the state of the site, and the connection that feeds both.

import { showHealth } from "./health.js";
import { OnScreen } from "./on_screen.js";
import { every } from "./parts.js";
import { age, put, Tile } from "./tile.js";
import { WallStream } from "./wall_stream.js";

const wall = document.getElementById("wall");
const notice = document.getElementById("notice");
const banner = document.getElementById("problems");
const ASPECT = 16 / 9;
const GAP = 8;
const PHONE_WIDTH = 640;
const LEAST_TILE = 200; // pixels; the page scrolls rather than show smaller tiles

/** The views by the names of their cameras. @type {Map<string, Tile>} */
export const tiles = new Map();
export const onScreen = new OnScreen(tiles, large, () => {
  if (!document.hidden) stream.change();
});
for (const element of every(".tile", wall)) tiles.set(element.dataset.camera, new Tile(element, toggleLarge, openIdentity));

function showNotice(text) {
  put(notice, text);
  notice.hidden = !text;
}

// The problems of the site, each with what to do. The duration changes all the time, so only the text is announced.
function showProblems(problems) {
  banner.hidden = problems.length === 0;
  put(banner.querySelector("strong"), problems.length === 1 ? "This site has a problem" : "This site has problems");
  const list = banner.querySelector("ul");
  while (list.children.length > problems.length) list.lastChild.remove();
  while (list.children.length < problems.length) list.append(problemItem());
  problems.forEach((problem, index) => {
    const [text, since, advice] = list.children[index].children;
    put(text, `${problem.text}. `);
    put(since, problem.seconds === null ? "" : `For ${age(problem.seconds)}. `);
    put(advice, `What to do: ${problem.advice}.`);
  });
  put(document.getElementById("announcement"), problems.map((problem) => `${problem.text}. ${problem.advice}.`).join(" "));
}

function problemItem() {
  const item = document.createElement("li");
  for (const name of ["text", "since", "advice"]) {
    const part = document.createElement("span");
    part.className = name;
    item.append(part);
  }
  return item;
}

// Nothing is known of the site: no number of the past is left in the header.
function forgetSite(message, health) {
  showProblems([]);
  showHealth(health);
  for (const tile of tiles.values()) {
    tile.describe({ state: "stalled", message, picture_age_s: null, live_tracks: null });
  }
}

function tileOf(name) {
  const { content } = /** @type {HTMLTemplateElement} */ (document.getElementById("tile"));
  const template = /** @type {HTMLElement} */ (content.firstElementChild.cloneNode(true));
  template.dataset.camera = name;
  template.querySelector(".name").textContent = name;
  template.querySelector(".open").setAttribute("aria-label", `${name}: show large`);
  return new Tile(template, toggleLarge, openIdentity);
}

function setCameras(cameras) {
  const names = cameras.map((camera) => camera.name);
  if (names.join(" ") !== [...tiles.keys()].join(" ")) {
    const before = new Map(tiles);
    tiles.clear();
    for (const name of names) tiles.set(name, before.get(name) || tileOf(name));
    wall.replaceChildren(...[...tiles.values()].map((tile) => tile.element));
    arrange();
    showLarge();
    onScreen.observe();
  }
  for (const camera of cameras) tiles.get(camera.name).describe(camera);
}

// Chooses the number of columns that makes the pictures largest; an upright phone gets one column and scrolls.
function arrange() {
  const count = Math.max(1, tiles.size);
  let width = wall.offsetWidth - 2 * GAP;
  const height = wall.offsetHeight - 2 * GAP;
  let columns = 1;
  let tile = wall.clientWidth - 2 * GAP;
  if (width >= PHONE_WIDTH) {
    tile = 0;
    for (let tried = 1; tried <= count; tried++) {
      const rows = Math.ceil(count / tried);
      const fits = Math.min((width - (tried - 1) * GAP) / tried, ((height - (rows - 1) * GAP) / rows) * ASPECT);
      if (fits > tile) [columns, tile] = [tried, fits];
    }
    if (tile < LEAST_TILE) {
      width = wall.clientWidth - 2 * GAP; // beside a scroll bar
      columns = Math.min(count, Math.max(1, Math.floor((width + GAP) / (LEAST_TILE + GAP))));
      tile = (width - (columns - 1) * GAP) / columns;
    }
  }
  wall.style.setProperty("--columns", String(columns));
  wall.style.setProperty("--tile", `${Math.floor(tile)}px`);
  viewsChanged();
}

// -- one large camera: in the URL, so that "back" closes it and a link can open it ---------------------------
function large() {
  return new URLSearchParams(location.hash.slice(1)).get("camera");
}

function toggleLarge(name) {
  if (large() === name) return closeLarge();
  const parts = new URLSearchParams(location.hash.slice(1));
  parts.set("camera", name);
  location.hash = parts.toString();
}

function closeLarge() {
  const parts = new URLSearchParams(location.hash.slice(1));
  parts.delete("camera");
  history.pushState(null, "", parts.toString() ? `#${parts}` : location.pathname);
  showLarge();
}

function showLarge() {
  const name = large();
  for (const tile of tiles.values()) tile.element.classList.toggle("large", tile.name === name);
  viewsChanged();
}

// The size of the views has changed: the glow has to move with them, and pictures may have to be larger.
function viewsChanged() {
  wall.dispatchEvent(new Event("arranged"));
  onScreen.changed();
}

// The panel shows the identity in the address.
function openIdentity(gid) {
  const parts = new URLSearchParams(location.hash.slice(1));
  parts.set("gid", String(gid));
  location.hash = parts.toString();
}

// -- the connection ------------------------------------------------------------------------------------------
const stream = new WallStream(() => onScreen.take(), onMessage, (reason) => {
  showNotice(reason || "The streamer does not answer. Retrying …");
  forgetSite("no connection to the streamer", []);
});

function onMessage(header, body) {
  if (header.type === "picture") {
    const tile = tiles.get(header.camera);
    if (tile) tile.show(header, body);
    return;
  }
  if (header.type === "width") {
    onScreen.limited(header.width);
    return;
  }
  if (!header.redis) {
    showNotice("Redis does not answer. Retrying …");
    forgetSite("no connection to Redis", header.health);
    return;
  }
  showNotice("");
  setCameras(header.cameras);
  const site = header.site;
  showProblems(site.problems);
  showHealth(site.health);
}

// A hidden page closes its connection, so that it costs nothing.
function onVisibility() {
  if (document.hidden) stream.close();
  else if (onScreen.isReady) stream.open();
}

// -- the pause -----------------------------------------------------------------------------------------------
const pauseButton = document.getElementById("pause");

function setPaused(paused) {
  pauseButton.setAttribute("aria-pressed", String(paused));
  wall.toggleAttribute("data-paused", paused);
  const status = document.getElementById("paused");
  status.hidden = !paused;
  put(status.firstElementChild, paused ? "Paused" : ""); // changed, so that screen readers say it
  onScreen.pause(paused);
}

// In a control, the space bar has its own meaning.
function isControl(element) {
  return element instanceof Element && element.matches("a, button, input, select, textarea, summary, [contenteditable], [tabindex]");
}

pauseButton.addEventListener("click", () => setPaused(!onScreen.paused));
document.querySelector("#paused button").addEventListener("click", () => {
  setPaused(false);
  pauseButton.focus();
});

// What is above or beside the wall leaves it more or less room, and a scroll bar comes and goes.
new ResizeObserver(arrange).observe(wall);
window.addEventListener("hashchange", showLarge);
window.addEventListener("popstate", showLarge);
window.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && large()) closeLarge();
  if (event.key === " " && !event.repeat && !event.ctrlKey && !event.altKey && !event.metaKey && !isControl(event.target)) {
    event.preventDefault();
    setPaused(!onScreen.paused);
  }
});
document.addEventListener("visibilitychange", onVisibility);
Object.assign(window, { tiles }); // to look at from the console, and from tests
arrange();
showLarge();
onScreen.observe();
