// The view "Events": what happens, as it happens.

import { openIdentity } from "./navigation.js";
import { body, guarded, readCameras, titleOfCamera } from "./panel_body.js";
import { clockTime, get, h, repeat, select, swatch } from "./parts.js";

const MOST_EVENTS = 200;
const IDENTITIES_MS = 3000;
const KINDS = { appeared: "appeared", handover: "moved", merged: "was found to be the same", split: "was split", left: "left the view", gap: "gap", recovered: "recovered", restored: "restored", named: "named", unnamed: "name removed", forgotten: "forgotten", camera_added: "camera added", camera_changed: "camera changed", camera_paused: "camera paused", camera_resumed: "camera resumed", camera_removed: "camera removed" };
const SITE_KINDS = new Set(["gap", "recovered", "restored"]);

/** @returns {() => void} stops it */
export function showEvents() {
  const events = [];
  /** What is known of identities: gid → class and name. */
  const known = new Map();
  const list = h("ol", { class: "events" });
  const kind = select("kind of event", [["", "all events"], ...Object.entries(KINDS).filter(([name]) => !SITE_KINDS.has(name))]);
  const camera = select("camera", [["", "all cameras"]]);
  const objectClass = select("class", [["", "all classes"]]);
  const name = h("input", { type: "search", "aria-label": "name or number", placeholder: "name or number" });
  const filters = h("form", { class: "filters", onsubmit: (event) => event.preventDefault() }, kind, camera, objectClass, name);
  body.replaceChildren(filters, list);

  const isWanted = (event) => {
    const identity = known.get(event.gid);
    const words = name.value.trim().toLowerCase();
    return (!objectClass.value || String(identity?.class ?? "") === objectClass.value)
      && (!words || `#${event.gid}` === words || String(event.gid) === words || (identity?.name || "").toLowerCase().includes(words));
  };
  const fill = () => {
    const wanted = events.filter(isWanted).map((event) => item(event, known.get(event.gid)));
    list.replaceChildren(...(wanted.length ? wanted : [h("li", { class: "empty" }, events.length ? "No event is like this." : "Nothing has happened yet.")]));
  };

  // Kind and camera are chosen by the streamer, so that rare events are found, too.
  let stopStream = () => {};
  const start = () => {
    stopStream();
    stopStream = stream(events, query(kind.value, camera.value), fill);
  };
  for (const one of [kind, camera]) one.addEventListener("change", start);
  for (const one of [objectClass, name]) one.addEventListener("input", fill);
  start();
  const stopIdentities = repeat(async (signal) => {
    const [cameras, found] = await Promise.all([readCameras(signal), get("/identities?limit=500", signal)]);
    for (const identity of found.identities) known.set(identity.gid, { class: identity.class, name: identity.name });
    addOptions(camera, cameras.map((one) => [one.name, titleOfCamera(one.name)]));
    addOptions(objectClass, [...new Set([...known.values()].map((one) => one.class).filter((one) => one !== null))].map((one) => [String(one), String(one)]));
    fill();
  }, IDENTITIES_MS);
  return () => {
    stopStream();
    stopIdentities();
  };
}

/** Adds those that are missing: what is chosen stays. */
function addOptions(element, options) {
  const before = new Set([...element.options].map((option) => option.value));
  for (const [value, text] of options) if (!before.has(value)) element.append(h("option", { value }, text));
}

function query(kind, camera) {
  const parts = new URLSearchParams();
  if (kind) parts.set("kind", kind);
  if (camera) parts.set("camera", camera);
  return parts;
}

/** Fills `events` with the newest, and adds what happens from then on. */
function stream(events, filter, changed) {
  const abort = new AbortController();
  let source = null;
  const first = new URLSearchParams(filter);
  first.set("limit", String(MOST_EVENTS));
  // The newest of all says where the stream goes on, also if the filter lets nothing through.
  guarded(() => Promise.all([get(`/events?${first}`, abort.signal), get("/events?limit=1", abort.signal)])).then(([found, newest]) => {
    if (abort.signal.aborted) return;
    events.splice(0, events.length, ...found.events);
    changed();
    const seen = new Set(found.events.map((event) => event.id));
    const rest = new URLSearchParams(filter);
    if (newest.events.length) rest.set("after", found.events.length ? found.events[0].id : newest.events[0].id);
    source = new EventSource(`/api/v1/events/stream?${rest}`);
    source.onmessage = (message) => {
      const event = JSON.parse(message.data);
      if (seen.has(event.id)) return;
      events.unshift(event);
      events.length = Math.min(events.length, MOST_EVENTS);
      changed();
    };
  }, () => {});
  return () => {
    abort.abort();
    if (source) source.close();
  };
}

function item(event, identity) {
  const where = event.title || event.camera;
  const from = event.from_title || event.from_camera;
  const isOfCamera = event.kind.startsWith("camera_");
  const path = from && where ? `from ${from} to ${where}` : !where ? "" : isOfCamera ? `${where}, by ${event.by}` : `${event.kind === "left" ? "of" : "in"} ${where}`;
  const who = event.gid === null ? null : h("button", { type: "button", class: "link", onclick: () => openIdentity(event.gid) }, swatch(event.gid), identity?.name || `#${event.gid}`);
  const its = who && identity && identity.class !== null ? ` (${identity.class})` : "";
  const other = event.other_gid === null ? "" : event.kind === "merged" ? `as #${event.other_gid}` : `off #${event.other_gid}`;
  return h("li", {}, h("time", {}, clockTime(event.time)), " ", who, `${its} ${[KINDS[event.kind] || event.kind, other, path].filter(Boolean).join(" ")}`);
}
