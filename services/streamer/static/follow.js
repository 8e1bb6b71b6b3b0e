// Follows one identity: its box glows in every view, the views that it is in move to the front, the others dim.
//
// The boxes come with the pictures, so the glow is in step with them. Views that are not streamed have no new pictures:
// only for them, the API is asked where the identity is.

import { colourOf, get, repeat } from "./parts.js";
import { onScreen } from "./wall.js";

const EVERY_MS = 1000;

export class Follow {
  /** @param {() => Map<string, import("./tile.js").Tile>} tiles */
  constructor(tiles) {
    this.tiles = tiles;
    this.gid = null;
    /** @type {string|null} */
    this.name = null;
    this.elsewhere = new Set(); // cameras that see it, as the API said last
    this.stop = () => {};
    this.wall = document.getElementById("wall");
    this.wall.addEventListener("picture", (event) => {
      if (this.gid === null) return;
      this.mark(/** @type {CustomEvent} */ (event).detail);
      this.summarise();
    });
    this.wall.addEventListener("arranged", () => this.markAll());
  }

  /** @param {number|null} gid */
  set(gid) {
    if (gid === this.gid) return;
    this.stop();
    this.stop = () => {};
    this.gid = gid;
    this.elsewhere.clear();
    this.name = null;
    this.markAll();
    if (gid === null) {
      this.wall.removeAttribute("data-following");
      this.say("");
      return;
    }
    get(`/identities/${gid}`).then((identity) => {
      if (this.gid !== gid) return;
      this.name = identity.name;
      this.summarise();
    }, () => {}); // one that is gone is followed in case that it returns
    this.stop = repeat((signal) => this.lookElsewhere(signal), EVERY_MS);
  }

  /** @param {AbortSignal} signal */
  async lookElsewhere(signal) {
    const isElsewhere = (name) => !onScreen.isCurrent(name);
    if (onScreen.isReady && [...this.tiles().keys()].some(isElsewhere)) {
      const tracks = await get("/tracks", signal);
      const seen = tracks.cameras.filter((camera) => camera.tracks.some((track) => track.gid === this.gid));
      this.elsewhere = new Set(seen.map((camera) => camera.camera));
      this.markAll();
    }
    this.summarise();
  }

  /** The boxes of the identity in the picture that a view shows. */
  boxes(tile) {
    return this.gid === null ? [] : tile.boxes().filter(([gid]) => gid === this.gid);
  }

  isIn(tile) {
    if (this.gid === null) return false;
    return onScreen.isCurrent(tile.name) ? this.boxes(tile).length > 0 : this.elsewhere.has(tile.name);
  }

  summarise() {
    const seen = [...this.tiles().values()].filter((tile) => this.isIn(tile)).map((tile) => tile.name);
    // While nobody sees it, no view is dimmed.
    this.wall.toggleAttribute("data-following", seen.length > 0);
    const who = this.name ? `${this.name} (#${this.gid})` : `#${this.gid}`;
    this.say(seen.length ? `Following ${who} in ${seen.join(", ")}` : `Following ${who}: not in view now`);
  }

  say(text) {
    const line = document.getElementById("following");
    line.hidden = !text;
    const words = line.firstElementChild;
    if (words.textContent !== text) words.textContent = text;
  }

  markAll() {
    for (const tile of this.tiles().values()) this.mark(tile);
  }

  mark(tile) {
    const boxes = this.boxes(tile);
    tile.element.toggleAttribute("data-followed", this.isIn(tile));
    const glows = tile.element.getElementsByClassName("glow");
    while (glows.length > boxes.length) glows[0].remove();
    if (!boxes.length) return;
    const place = tile.place();
    boxes.forEach(([, left, top, right, bottom], index) => {
      if (!glows[index]) tile.element.append(Object.assign(document.createElement("div"), { className: "glow" }));
      Object.assign(glows[index].style, {
        left: `${place.left + left * place.scale}px`,
        top: `${place.top + top * place.scale}px`,
        width: `${(right - left) * place.scale}px`,
        height: `${(bottom - top) * place.scale}px`,
        color: colourOf(this.gid),
      });
    });
  }
}
