// The view "Events": what happens, as it happens.

import { openIdentity } from "./navigation.js";
import { body, guarded } from "./panel_body.js";
import { clockTime, get, h, swatch } from "./parts.js";

const MOST_EVENTS = 200;
const KINDS = { appeared: "appeared", handover: "went over", merged: "merged", split: "split", left: "left", gap: "gap", recovered: "recovered", restored: "restored", named: "named", unnamed: "name removed", forgotten: "forgotten" };
const SITE_KINDS = new Set(["gap", "recovered", "restored"]);
const events = [];

/** @returns {() => void} stops it */
export function showEvents() {
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
  const who = event.gid === null ? null : h("button", { type: "button", class: "link", onclick: () => openIdentity(event.gid) }, swatch(event.gid), `#${event.gid}`);
  const other = event.other_gid === null ? "" : event.kind === "merged" ? `with #${event.other_gid}` : `off #${event.other_gid}`;
  return h("li", {}, h("time", {}, clockTime(event.time)), " ", who, ` ${[KINDS[event.kind] || event.kind, other, path].filter(Boolean).join(" ")}`);
}
