// One camera of the wall: its picture, and what is said about it.

const TITLES = { starting: "Starting", waiting: "Waiting", stalled: "Stalled", frozen: "Frozen", blank: "Blank picture", down: "No signal", ended: "Ended", paused: "Paused" };
const LABELS = { live: "live", starting: "starting", waiting: "waiting", stalled: "stalled", frozen: "frozen", blank: "blank picture", moving: "moving", moved: "moved", down: "no signal", ended: "ended", paused: "paused" };

/** @param {Element} element
 * @param {string} text
 */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {number} seconds
 * @returns {string}
 */
export function age(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

const AGAIN_TICKS = 100; // a larger step back than this means that the site's clock began anew
const SHOWS_PICTURES = ["live", "moving", "moved"];

/** @typedef {{camera: string, tick: number, width: number, height: number, boxes: Array<[number|null, number, number, number, number, string]>}} Picture */

export class Tile {
  /** @param {HTMLElement} element
   * @param {(name: string) => void} onOpen called when the view is clicked
   * @param {(gid: number) => void} onIdentity called when an identity in the picture is clicked
   */
  constructor(element, onOpen, onIdentity) {
    this.element = element;
    this.name = element.dataset.camera;
    this.canvas = element.querySelector("canvas");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.busy = false;
    this.waiting = null;
    /** @type {Picture|null} the header of the picture that is shown */
    this.picture = null;
    this.drawn = 0; // pictures; the first one `firstMs` after the page was opened
    this.firstMs = NaN;
    this.pointer = null;
    element.dataset.picture = "none";
    /** @type {HTMLButtonElement} */
    this.button = element.querySelector(".open");
    this.button.addEventListener("click", (event) => {
      const gid = event.detail ? this.identityAt(event) : null; // 0: by keyboard
      if (gid === null) onOpen(this.name);
      else onIdentity(gid);
    });
    this.button.addEventListener("pointermove", (event) => this.point({ clientX: event.clientX, clientY: event.clientY }));
    this.button.addEventListener("pointerleave", () => this.point(null));
  }

  // While a picture is being decoded only the newest one waits: a slow browser skips pictures.
  async show(picture, jpeg) {
    this.waiting = { picture, jpeg };
    if (this.busy) return;
    this.busy = true;
    while (this.waiting) {
      const { picture, jpeg } = this.waiting;
      this.waiting = null;
      if (this.picture && isOlder(picture, this.picture)) continue;
      try {
        const image = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
        if (this.canvas.width !== image.width || this.canvas.height !== image.height) {
          this.canvas.width = image.width;
          this.canvas.height = image.height;
        }
        this.context.drawImage(image, 0, 0);
        image.close();
        this.element.dataset.picture = "shown";
        if (!this.drawn++) this.firstMs = performance.now();
        this.isShown(picture);
      } catch {
        // Ignore an unreadable picture; the next one will come.
      }
    }
    this.busy = false;
  }

  /** @param {Picture} picture */
  isShown(picture) {
    this.picture = picture;
    if (this.pointer) this.point(this.pointer);
    this.element.dispatchEvent(new CustomEvent("picture", { bubbles: true, detail: this }));
  }

  /** The boxes of the picture that is shown; none if the camera is not live: what was in its last picture may have left. */
  boxes() {
    return this.picture && SHOWS_PICTURES.includes(this.element.dataset.state) ? this.picture.boxes : [];
  }

  /** Where the picture is in the view, whose content keeps its shape. */
  place() {
    const { width, height } = this.picture;
    const scale = Math.min(this.canvas.clientWidth / width, this.canvas.clientHeight / height);
    return {
      scale,
      left: this.canvas.offsetLeft + (this.canvas.clientWidth - width * scale) / 2,
      top: this.canvas.offsetTop + (this.canvas.clientHeight - height * scale) / 2,
    };
  }

  /** The identity at a point of the window; of several, the one with the smallest box, which is in front of the others.
   * @param {{clientX: number, clientY: number}} point
   * @returns {number|null}
   */
  identityAt(point) {
    if (!this.picture) return null;
    const view = this.element.getBoundingClientRect();
    const place = this.place();
    const x = (point.clientX - view.left - place.left) / place.scale;
    const y = (point.clientY - view.top - place.top) / place.scale;
    const hit = this.boxes()
      .filter(([gid, left, top, right, bottom]) => gid !== null && left <= x && x <= right && top <= y && y <= bottom)
      .sort((a, b) => (a[3] - a[1]) * (a[4] - a[2]) - (b[3] - b[1]) * (b[4] - b[2]));
    return hit.length ? hit[0][0] : null;
  }

  point(pointer) {
    this.pointer = pointer;
    this.element.toggleAttribute("data-over-identity", pointer !== null && this.identityAt(pointer) !== null);
  }

  describe(camera) {
    const wasShown = SHOWS_PICTURES.includes(this.element.dataset.state);
    this.element.dataset.state = camera.state;
    if (camera.title) put(this.element.querySelector(".name"), camera.title);
    const isDoubtful = camera.state === "live" && camera.warning;
    put(this.element.querySelector(".state"), isDoubtful ? "ids missing" : LABELS[camera.state] || camera.state);
    put(this.element.querySelector(".reason strong"), TITLES[camera.state] || "");
    this.element.toggleAttribute("data-warning", Boolean(camera.warning));
    const reasons = [camera.message === camera.state ? "" : camera.message, camera.warning || ""];
    put(this.element.querySelector(".reason span"), reasons.filter(Boolean).join("; "));
    put(this.element.querySelector(".age"), camera.picture_age_s === null ? "" : age(camera.picture_age_s));
    if (this.picture && wasShown !== SHOWS_PICTURES.includes(camera.state)) this.isShown(this.picture);
    const tracks = SHOWS_PICTURES.includes(camera.state) && camera.live_tracks !== null ? camera.live_tracks : null;
    put(this.element.querySelector(".tracks"), tracks === null ? "" : `${tracks} ${tracks === 1 ? "track" : "tracks"}`);
  }
}

// Another stream may begin with a picture that is a little older than the one that is shown, or the same.
function isOlder(picture, shown) {
  return picture.tick < shown.tick && shown.tick - picture.tick < AGAIN_TICKS;
}
