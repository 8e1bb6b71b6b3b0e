// Follows one identity: its box glows in every view, the views that it is in move to the front, the others dim.

import { colourOf, get, repeat } from "./parts.js";

const EVERY_MS = 400;

/** Where a picture of `width` × `height` is shown in its canvas, whose content keeps its shape.
 * @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
function placeIn(canvas, width, height) {
  const scale = Math.min(canvas.clientWidth / width, canvas.clientHeight / height);
  return {
    scale,
    left: canvas.offsetLeft + (canvas.clientWidth - width * scale) / 2,
    top: canvas.offsetTop + (canvas.clientHeight - height * scale) / 2,
  };
}

export class Follow {
  /** @param {() => Map<string, {element: HTMLElement, canvas: HTMLCanvasElement}>} tiles */
  constructor(tiles) {
    this.tiles = tiles;
    this.gid = null;
    this.stop = () => {};
  }

  /** @param {number|null} gid */
  set(gid) {
    if (gid === this.gid) return;
    this.stop();
    this.gid = gid;
    this.say(gid === null ? "" : `Following #${gid} …`);
    for (const tile of this.tiles().values()) this.mark(tile, [], null);
    document.getElementById("wall").removeAttribute("data-following");
    if (gid === null) {
      this.stop = () => {};
      return;
    }
    this.stop = repeat(async (signal) => this.show(await get("/tracks", signal)), EVERY_MS);
  }

  /** @param {{cameras: Array<any>}} tracks */
  show(tracks) {
    const tiles = this.tiles();
    const seen = [];
    for (const camera of tracks.cameras) {
      const tile = tiles.get(camera.camera);
      const own = camera.tracks.filter((track) => track.gid === this.gid);
      if (tile) this.mark(tile, own, camera);
      if (own.length) seen.push(camera.camera);
    }
    // While nobody sees it, no view is dimmed.
    document.getElementById("wall").toggleAttribute("data-following", seen.length > 0);
    this.say(seen.length ? `Following #${this.gid} in ${seen.join(", ")}` : `Following #${this.gid}: not in view now`);
  }

  say(text) {
    const line = document.getElementById("following");
    line.hidden = !text;
    const words = line.firstElementChild;
    if (words.textContent !== text) words.textContent = text;
  }

  mark(tile, tracks, camera) {
    tile.element.toggleAttribute("data-followed", tracks.length > 0);
    for (const box of tile.element.querySelectorAll(".glow")) box.remove();
    if (!tracks.length || !camera.width) return;
    const place = placeIn(tile.canvas, camera.width, camera.height);
    for (const track of tracks) {
      const [left, top, right, bottom] = track.box_xyxy;
      const box = document.createElement("div");
      box.className = "glow";
      Object.assign(box.style, {
        left: `${place.left + left * place.scale}px`,
        top: `${place.top + top * place.scale}px`,
        width: `${(right - left) * place.scale}px`,
        height: `${(bottom - top) * place.scale}px`,
        color: colourOf(this.gid),
      });
      tile.element.append(box);
    }
  }
}
