// The view "Events": what happens, as it happens.

import { openIdentity } from "./navigation.js";
import { body, guarded, readCameras, titleOfCamera } from "./panel_body.js";
import { clockTime, get, h, repeat, select, swatch } from "./parts.js";

const MOST_EVENTS = 200;
const BETWEEN = "between";
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
  const time = select("time", [["", "any time"], ["600", "last 10 min"], ["3600", "last hour"], ["86400", "last day"], [BETWEEN, "from … to …"]]);
  const from = h("input", { type: "datetime-local", step: 1 });
  const to = h("input", { type: "datetime-local", step: 1 });
  const limits = [h("label", { hidden: true }, "from", from), h("label", { hidden: true }, "to", to)];
  const filters = h("form", { class: "filters", onsubmit: (event) => event.preventDefault() }, kind, camera, objectClass, name, time, h("span", {}), ...limits);
  body.replaceChildren(filters, list);

  const isWanted = (event) => {
    const identity = known.get(event.gid);
    const words = name.value.trim().toLowerCase();
    return (!objectClass.value || String(identity?.class ?? "") === objectClass.value)
      && (!words || `#${event.gid}` === words || String(event.gid) === words || (identity?.name || "").toLowerCase().includes(words));
  };
  const isInTime = inTime(time, from, to);
  const fill = () => {
    const wanted = events.filter((event) => isWanted(event) && isInTime(event)).map((event) => item(event, known.get(event.gid)));
    list.replaceChildren(...(wanted.length ? wanted : [h("li", { class: "empty" }, events.length || time.value ? "No event is like this." : "Nothing has happened yet.")]));
  };

  // Kind, camera and time are chosen by the streamer, so that rare and old events are found, too.
  let stopStream = () => {};
  const start = () => {
    stopStream();
    stopStream = stream(events, query(kind.value, camera.value), spanOf(time, from, to), fill);
  };
  for (const one of [kind, camera, time, from, to]) one.addEventListener("change", start);
  time.addEventListener("change", () => limits.forEach((label) => { label.hidden = time.value !== BETWEEN; }));
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

/** The times that are chosen, as parameters of the API. */
function spanOf(time, from, to) {
  const parts = new URLSearchParams();
  if (time.value === BETWEEN) {
    if (from.value) parts.set("since", new Date(from.value).toISOString());
    if (to.value) parts.set("until", new Date(to.value).toISOString());
  } else if (time.value) parts.set("since", new Date(Date.now() - Number(time.value) * 1000).toISOString());
  return parts;
}

/** Whether an event is within the times that are chosen now: "the last 10 min" go on. */
function inTime(time, from, to) {
  return (event) => {
    const span = spanOf(time, from, to);
    const at = Date.parse(event.time);
    const [since, until] = [span.get("since"), span.get("until")];
    return (!since || at >= Date.parse(since)) && (!until || at <= Date.parse(until));
  };
}

/** Fills `events` with the newest within `span`, and adds what happens from then on. */
function stream(events, filter, span, changed) {
  const abort = new AbortController();
  let source = null;
  const first = new URLSearchParams([...filter, ...span]);
  first.set("limit", String(MOST_EVENTS));
  // The newest of all says where the stream goes on, also if the filter lets nothing through.
  guarded(() => Promise.all([get(`/events?${first}`, abort.signal), get("/events?limit=1", abort.signal)])).then(([found, newest]) => {
    if (abort.signal.aborted) return;
    events.splice(0, events.length, ...found.events);
    changed();
    if (Date.parse(span.get("until") || "") < Date.now()) return; // nothing comes any more
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
