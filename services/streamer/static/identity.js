// The view of one identity: its journey, and the forms that correct it.

import { Corrections } from "./corrections.js";
import { journey } from "./journey.js";
import { go, openIdentity, place, toggleFollow } from "./navigation.js";
import { body, guarded, isOperator, keepFocus, markFollowed } from "./panel_body.js";
import { every, get, h, repeat } from "./parts.js";

const EVERY_MS = 2000;

/** @param {number} gid
 * @returns {() => void} stops it
 */
export function showIdentity(gid) {
  /** @type {Corrections|null} */
  let corrections = null;

  async function draw(signal) {
    const identity = await guarded(() => get(`/identities/${gid}`, signal));
    // What an operator types stays: only what is below the forms is drawn again.
    let content = body.querySelector(`.journey[data-gid="${identity.gid}"]`);
    if (!content) {
      content = h("div", { class: "journey", "data-gid": identity.gid });
      corrections = isOperator ? new Corrections(identity, { open: openIdentity, changed: () => draw(signal).catch(() => {}) }) : null;
      body.replaceChildren(
        h("div", { class: "bar-of-journey", "data-gid": identity.gid },
          h("button", { type: "button", "data-key": "back", onclick: () => go({ gid: null, view: place().view }) }, "‹ Back"),
          h("button", { type: "button", class: "follow", "data-key": "follow", "aria-pressed": "false", onclick: () => toggleFollow(identity.gid) }, "Follow"),
          h("button", { type: "button", "data-key": "similar", onclick: () => go({ gid: null, view: "find", like: identity.gid }) }, "Find similar")),
        ...(corrections ? [corrections.element] : []),
        content);
    }
    const open = new Set(every("details[open]", content).map((details) => details.dataset.key));
    keepFocus(() => content.replaceChildren(...journey(identity, corrections)));
    for (const details of content.querySelectorAll("details")) details.open = open.has(details.dataset.key);
    markFollowed(place().follow);
  }

  return repeat(draw, EVERY_MS);
}
