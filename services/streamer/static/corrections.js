// What an operator corrects: name, merge, split, forget, undo. The aggregator carries it out, and says what became of it.

import { newestCrops } from "./cards.js";
import { readCameras } from "./panel_body.js";
import { cropAddress, get, h, request, titleOf } from "./parts.js";

const AGAIN_MS = 1000;
const MOST_OFFERED = 24;

/** @typedef {{kind: string, gid?: number, other_gid?: number, name?: string, tracks?: string[], undoes?: string}} Command */

/** The forms for one identity; they stay while the journey below them is drawn again.
 * @param {{gid: number, name: string|null, class: string|null}} identity
 * @param {{open: (gid: number) => void, changed: () => void}} page
 */
export class Corrections {
  constructor(identity, page) {
    this.gid = identity.gid;
    this.class = identity.class;
    this.page = page;
    this.said = h("p", { class: "said", role: "status" });
    this.name = h("input", { type: "text", maxlength: 64, value: identity.name || "", "aria-label": "name", placeholder: "name" });
    this.other = h("input", { type: "number", min: 1, step: 1, "aria-label": "the other identity", placeholder: "other number" });
    this.other.addEventListener("input", () => this.markChosen());
    this.offered = h("ul", { class: "offered", "aria-label": "identities that it may be" });
    this.element = h("details", { class: "corrections", ontoggle: () => this.element.open && this.offer().catch(() => {}) },
      h("summary", {}, "Correct this identity"),
      this.form(this.name, "Save name", () => (this.name.value.trim() ? { kind: "name", gid: this.gid, name: this.name.value.trim() } : { kind: "unname", gid: this.gid })),
      this.form(this.other, "It is the same object", () => ({ kind: "merge", gid: this.gid, other_gid: Number(this.other.value) })),
      this.offered,
      h("details", { class: "forget" },
        h("summary", {}, "Forget this identity"),
        h("p", {}, "Its name, its journey and its pictures are deleted. This cannot be undone."),
        h("button", { type: "button", onclick: () => this.ask({ kind: "forget", gid: this.gid }) }, "Delete for good")),
      this.said);
  }

  form(input, label, command) {
    return h("form", {
      onsubmit: (event) => {
        event.preventDefault();
        this.ask(command());
      },
    }, input, h("button", { type: "submit" }, label));
  }

  /** Shows the newest crops of other identities, those of the same class first, to choose the one that is the same. */
  async offer() {
    const none = new AbortController().signal;
    const [cameras, found] = await Promise.all([readCameras(none), get(`/identities?limit=${2 * MOST_OFFERED}`)]);
    const crops = await newestCrops(cameras.map((camera) => camera.name), none);
    const isAlike = (identity) => Number(identity.class === this.class);
    const others = found.identities.filter((identity) => identity.gid !== this.gid && crops.has(identity.gid)).sort((a, b) => isAlike(b) - isAlike(a));
    this.offered.replaceChildren(...others.slice(0, MOST_OFFERED).map((identity) => h("li", {},
      h("button", { type: "button", "data-gid": identity.gid, "aria-pressed": "false", title: titleOf(identity), onclick: () => this.choose(identity.gid) },
        h("img", { class: "crop", src: cropAddress(crops.get(identity.gid)[0].newest), alt: "" }),
        titleOf(identity)))));
    this.markChosen();
  }

  /** @param {number} gid */
  choose(gid) {
    this.other.value = this.other.value === String(gid) ? "" : String(gid);
    this.markChosen();
  }

  markChosen() {
    for (const button of this.offered.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.gid === this.other.value));
  }

  /** Splits a track off.
   * @param {string} camera
   * @param {string} trackId
   */
  split(camera, trackId) {
    this.element.open = true;
    this.ask({ kind: "split", gid: this.gid, tracks: [`${camera}/${trackId}`] });
  }

  /** @param {Command} command */
  async ask(command) {
    this.said.replaceChildren("…");
    try {
      let answer = await request("POST", "/commands", command);
      while (answer.outcome === "waiting" && this.element.isConnected) {
        this.said.replaceChildren("The aggregator has not answered yet. It will carry this out once it runs.");
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        answer = await request("GET", `/commands/${answer.id}`);
      }
      if (answer.outcome === "waiting") return; // another view is open
      if (answer.outcome === "refused") throw new Error(answer.reason);
      const undo = h("button", { type: "button", onclick: () => this.ask({ kind: "undo", undoes: answer.id }) }, "Undo");
      this.other.value = "";
      this.markChosen();
      this.said.replaceChildren(`${done(command, answer)} `, command.kind === "undo" || command.kind === "forget" ? "" : undo);
      if (command.kind === "merge" && answer.gid !== this.gid) this.page.open(answer.gid);
      else this.page.changed();
    } catch (error) {
      this.said.replaceChildren(`Not done: ${error.message}.`);
    }
  }
}

/** What was done, for people. */
function done(command, answer) {
  switch (command.kind) {
    case "name": return `It is called ${command.name} now.`;
    case "unname": return "It has no name any more.";
    case "merge": return `#${answer.other_gid} and #${answer.gid} are one identity now: #${answer.gid}.`;
    case "split": return `The track is #${answer.gid} now.`;
    case "forget": return "It is forgotten.";
    default: return "Undone: everything is as it was before.";
  }
}
