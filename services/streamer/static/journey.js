// One identity: a lane for each camera over time, and for each stay why the track belongs to it.

import { openIdentity } from "./navigation.js";
import { titleOfCamera } from "./panel_body.js";
import { clockTime, colourOf, cropAddress, duration, get, h, seconds, swatch, titleOf } from "./parts.js";

const LONGEST_NAME = 20;
const TERMS = {
  appearance: "appearance",
  position: "position",
  travel: "travel time",
  place: "place",
  motion: "motion",
  class: "class",
  prior: "beforehand",
};

/** The journey as elements.
 * @param {any} identity an IdentityDetail of the API
 * @param {import("./corrections.js").Corrections|null} corrections null: the visitor may not change anything
 */
export function journey(identity, corrections) {
  const stays = identity.journey.filter((stay) => stay.moved_to === null);
  const moved = identity.journey.filter((stay) => stay.moved_to !== null);
  return [
    facts(identity),
    stays.length ? lanes(identity, stays) : null,
    h("h2", {}, `Stays (${stays.length})`),
    stays.length ? h("ol", { class: "stays" }, ...[...stays].reverse().map((stay) => stayItem(identity, stay, corrections))) : h("p", { class: "empty" }, "None is remembered."),
    moved.length ? h("details", { class: "moved", "data-key": "moved" },
      h("summary", {}, `Tracks that belong to other identities now (${moved.length})`),
      h("ol", { class: "stays" }, ...[...moved].reverse().map((stay) => stayItem(identity, stay, corrections)))) : null,
    identity.changes.length ? h("h2", {}, "Merges and splits") : null,
    identity.changes.length ? h("ul", { class: "changes" }, ...identity.changes.map((change) => changeItem(identity, change))) : null,
  ].filter(Boolean);
}

function facts(identity) {
  const newest = identity.crops && identity.crops[0];
  const where = identity.present
    ? `in view of ${identity.boxes.map((box) => titleOfCamera(box.camera)).join(", ") || "a camera"}`
    : `last seen at ${clockTime(identity.last_seen)}`;
  const seen = seconds(identity.last_seen_ns) - seconds(identity.first_seen_ns);
  return h("div", { class: "facts" },
    newest ? h("img", { class: "crop", src: cropAddress(newest.best), alt: "" }) : h("span", { class: "crop none", style: { borderColor: colourOf(identity.gid) } }),
    h("div", {},
      h("p", { class: "who" }, swatch(identity.gid), `${titleOf(identity)}`, identity.class === null ? "" : ` · ${identity.class}`),
      h("p", {}, where),
      h("p", {}, `first seen at ${clockTime(identity.first_seen)}, for ${duration(seen)}`),
      identity.asked !== identity.gid ? h("p", {}, `#${identity.asked} was merged into it`) : null));
}

function lanes(identity, stays) {
  // What is in view is seen until now, in the time of the site.
  const now = Math.max(seconds(identity.last_seen_ns), ...identity.boxes.map((box) => Date.parse(box.time) / 1000).filter(Number.isFinite));
  const until = (stay) => (stay.ended || !identity.present ? seconds(stay.last_seen_ns) : Math.max(now, seconds(stay.last_seen_ns)));
  const begin = Math.min(...stays.map((stay) => seconds(stay.first_seen_ns)));
  const end = Math.max(begin + 1, ...stays.map(until));
  const cameras = [...new Set(stays.map((stay) => stay.camera))];
  const share = (at) => (at - begin) / (end - begin);
  const percent = (at) => `${100 * share(at)}%`;
  return h("div", { class: "lanes", role: "img", "aria-label": `Journey over ${duration(end - begin)} through ${cameras.length} cameras` },
    ...cameras.map((camera) => h("div", { class: "lane" },
      h("span", { class: "lane-name", title: titleOfCamera(camera) }, shortened(titleOfCamera(camera))),
      h("div", { class: "lane-time" },
        ...stays.filter((stay) => stay.camera === camera).map((stay) => h("span", {
          class: "stay",
          title: `${clockTime(stay.first_seen)} to ${clockTime(stay.last_seen)}`,
          style: {
            left: percent(seconds(stay.first_seen_ns)),
            width: `max(4px, ${(100 * (until(stay) - seconds(stay.first_seen_ns))) / (end - begin)}%)`,
            background: colourOf(identity.gid),
          },
        }))))),
    ...handovers(stays, cameras, share),
    h("div", { class: "lane axis" }, h("span", { class: "lane-name" }),
      h("div", {}, h("span", {}, clockTime(new Date(begin * 1000).toISOString())), h("span", {}, clockTime(new Date(end * 1000).toISOString())))),
    h("p", { class: "legend" }, "Bars: when a camera saw it. Thin lines: when another camera saw it next."));
}

/** Names of cameras often differ at their end only, so the middle is left out. */
function shortened(name) {
  return name.length <= LONGEST_NAME ? name : `${name.slice(0, LONGEST_NAME / 2 - 1)}…${name.slice(-LONGEST_NAME / 2)}`;
}

/** A line from lane to lane wherever it went over to another camera. */
function handovers(stays, cameras, share) {
  const inOrder = [...stays].sort((a, b) => Number(a.first_seen_ns) - Number(b.first_seen_ns));
  return inOrder.slice(1).map((stay, index) => {
    const [from, to] = [cameras.indexOf(inOrder[index].camera), cameras.indexOf(stay.camera)];
    if (from === to) return null;
    const line = h("span", { class: "handover" });
    line.style.setProperty("--at", share(seconds(stay.first_seen_ns)).toFixed(4));
    line.style.setProperty("--from", String(Math.min(from, to)));
    line.style.setProperty("--lanes", String(Math.abs(to - from)));
    return line;
  });
}

function stayItem(identity, stay, corrections) {
  const crops = (identity.crops || []).find((one) => one.camera === stay.camera && one.track_id === stay.track_id);
  const length = seconds(stay.last_seen_ns) - seconds(stay.first_seen_ns);
  return h("li", {},
    crops ? h("img", { class: "crop", src: cropAddress(crops.best), alt: `in ${stay.camera}`, loading: "lazy" }) : h("span", { class: "crop none" }),
    h("div", {},
      h("p", {}, h("strong", {}, titleOfCamera(stay.camera)), ` ${clockTime(stay.first_seen)}, ${stay.ended || !identity.present || stay.moved_to !== null ? `for ${duration(length)}` : "in view now"}`),
      stay.moved_to !== null ? h("p", { class: "moved-to" }, "belongs to ", link(stay.moved_to), " now") : null,
      stay.merged_from !== null ? h("p", { class: "merged-from" }, `joined #${stay.merged_from}, which was merged into this one later`) : null,
      stay.merged_from !== null && stay.decision === null ? null : why(stay),
      // One track must stay.
      corrections && identity.journey.length > 1 && stay.moved_to === null
        ? h("button", { type: "button", class: "split", "data-key": `split-${stay.camera}-${stay.track_id}`, onclick: () => corrections.split(stay.camera, stay.track_id) }, "This is another object")
        : null));
}

function why(stay) {
  const decision = stay.decision;
  if (decision === null) return h("p", { class: "why" }, "It is not known why this track joined.");
  const isUnrivalled = decision.score === 0 && decision.runner_up === null && !Object.keys(decision.terms).length;
  if (isUnrivalled) return h("p", { class: "why" }, "The first track: there was nothing to decide.");
  const largest = Math.max(1, ...Object.values(decision.terms).map(Math.abs));
  // The best known identity was too unlike, so a new one began: its score was too low by the margin.
  const isNew = decision.runner_up > 0 && decision.margin === -decision.score;
  const other = decision.runner_up ? link(decision.runner_up) : null;
  return h("details", { class: "why", "data-key": `${stay.camera} ${stay.track_id}`, ontoggle: (event) => decision.runner_up && event.target.open && lookUpRival(event.target, decision.runner_up) },
    h("summary", {}, isNew ? "why it began as a new identity" : `why it belongs here (score ${decision.score.toFixed(1)})`),
    isNew
      ? h("p", {}, "The closest was ", other || "no other", `, at ${decision.score.toFixed(1)}: too unlike.`)
      : h("p", {}, decision.runner_up === null ? "There was no other choice." : decision.runner_up === 0 ? "Ahead of a new identity" : "Ahead of ", other, decision.margin === null || decision.runner_up === null ? "" : ` by ${decision.margin.toFixed(1)}.`),
    ...Object.entries(decision.terms).map(([name, value]) => h("div", { class: "term" },
      h("span", {}, TERMS[name] || name),
      h("span", { class: value < 0 ? "bar against" : "bar", style: { width: `${(50 * Math.abs(value)) / largest}%` } }),
      h("span", { class: "number" }, value.toFixed(1)))),
    decision.runner_up ? rivalWithCrop(decision.runner_up) : null);
}

/** Runners-up that were looked up: gid → its detail, or null if it is gone. */
const rivals = new Map();

/** Looks the runner-up up, to show what it could have been. */
async function lookUpRival(details, gid) {
  if (rivals.has(gid)) return;
  rivals.set(gid, await get(`/identities/${gid}`).catch(() => null));
  const found = rivalWithCrop(gid);
  if (found && !details.querySelector(".rival")) details.append(found);
}

function rivalWithCrop(gid) {
  const rival = rivals.get(gid);
  const crop = rival && rival.crops && rival.crops[0];
  if (!crop) return null;
  return h("p", { class: "rival" },
    h("img", { class: "crop", src: cropAddress(crop.best), alt: `the runner-up in ${titleOfCamera(crop.camera)}` }),
    `${titleOf(rival)}, the runner-up`);
}

function changeItem(identity, change) {
  const other = change.kind === "merged" ? h("span", {}, `#${change.other_gid}`) : link(change.other_gid);
  const into = change.gid === identity.gid ? "this one" : `#${change.gid}`;
  const text = change.kind === "merged" ? ` was merged into ${into}` : ": a track was taken out of this one";
  return h("li", {}, h("time", {}, clockTime(change.time)), " ", other, text);
}

function link(gid) {
  return h("button", { type: "button", class: "link", onclick: () => openIdentity(gid) }, swatch(gid), `#${gid}`);
}
