// The panel beside the wall: opens, closes, and shows the view that the address names.
//
// Plain modules without a library: each view draws its few elements again from what the API says.

import { showCalibration } from "./calibration.js";
import { showCameras } from "./cameras.js";
import { showEvents } from "./events.js";
import { showFind } from "./find.js";
import { Follow } from "./follow.js";
import { showIdentity } from "./identity.js";
import { showMap } from "./map.js";
import { showMask } from "./mask.js";
import { go, place } from "./navigation.js";
import { showNetworks } from "./networks.js";
import { showNow } from "./now.js";
import { body, markFollowed } from "./panel_body.js";
import { every, h } from "./parts.js";
import { tiles } from "./wall.js";

const SHOW = { now: showNow, map: showMap, events: showEvents, cameras: showCameras };
/** What a view of its own does not keep in the address. */
const NOTHING = { gid: null, like: null, mask: null, calibrate: null, add: null };
const panel = document.getElementById("panel");
const tabs = every("[role=tab]", panel);
const toggle = document.getElementById("panel-toggle");
const follow = new Follow(() => tiles);
let stop = () => {};
let shown = "";

function show() {
  const here = place();
  panel.hidden = !here.open;
  toggle.setAttribute("aria-expanded", String(here.open));
  panel.dataset.view = here.gid !== null ? "identity" : (here.mask ?? here.calibrate) !== null ? "drawing" : here.view;
  follow.set(here.follow);
  for (const tab of tabs) {
    const isShown = tab.dataset.view === here.view;
    tab.setAttribute("aria-selected", String(isShown && here.gid === null));
    tab.tabIndex = isShown ? 0 : -1;
  }
  const wanted = here.open ? JSON.stringify([here.view, here.gid, here.like, here.mask, here.calibrate]) : "";
  if (wanted === shown) {
    markFollowed(here.follow);
    return;
  }
  shown = wanted;
  stop();
  stop = () => {};
  if (!here.open) return;
  body.replaceChildren(h("p", { class: "empty" }, "Loading …"));
  stop = open(here);
}

/** @param {import("./navigation.js").Place} here
 * @returns {() => void} stops it
 */
function open(here) {
  if (here.gid !== null) return showIdentity(here.gid);
  if (here.mask !== null) return showMask(here.mask);
  if (here.calibrate !== null) return showCalibration(here.calibrate);
  if (here.view === "find") return showFind(here.like);
  return SHOW[here.view]();
}

toggle.addEventListener("click", () => go(place().open ? { ...NOTHING, view: null } : { view: "now" }));
document.getElementById("panel-close").addEventListener("click", () => go({ ...NOTHING, view: null }));
tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => go({ ...NOTHING, view: tab.dataset.view }));
  // One of the tabs is a stop for the tabulator; the arrows lead to the others (WAI-ARIA, Tabs Pattern).
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const other = tabs[(index + step + tabs.length) % tabs.length];
    other.focus();
    other.click();
  });
});
document.querySelector("#following button").addEventListener("click", () => go({ follow: null }));
panel.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented) return;
  event.stopPropagation(); // a large view behind the panel stays
  go({ ...NOTHING, view: null });
  toggle.focus();
});
// Only a site without cameras shows its first steps.
const firstSteps = document.getElementById("empty-site");
new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) showNetworks(firstSteps.querySelector(".networks")).catch(() => {});
}).observe(firstSteps);
window.addEventListener("hashchange", show);
window.addEventListener("popstate", show);
show();
