// One camera of the wall: its picture, and what is said about it.

const TITLES = { starting: "Starting", waiting: "Waiting", stalled: "Stalled", frozen: "Frozen", blank: "Blank picture", down: "No signal", ended: "Ended", paused: "Paused" };
const LABELS = { live: "live", starting: "starting", waiting: "waiting", stalled: "stalled", frozen: "frozen", blank: "blank picture", moving: "moving", moved: "moved", down: "no signal", ended: "ended", paused: "paused" };

/** @param {Element} element @param {string} text */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {number} seconds @returns {string} */
export function age(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

export class Tile {
  /** @param {HTMLElement} element @param {(name: string) => void} onOpen called when the view is clicked */
  constructor(element, onOpen) {
    this.element = element;
    this.name = element.dataset.camera;
    this.canvas = element.querySelector("canvas");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.busy = false;
    this.waiting = null;
    element.dataset.picture = "none";
    element.querySelector(".open").addEventListener("click", () => onOpen(this.name));
  }

  // While a picture is being decoded only the newest one waits: a slow browser skips pictures.
  async show(jpeg) {
    this.waiting = jpeg;
    if (this.busy) return;
    this.busy = true;
    while (this.waiting) {
      const bytes = this.waiting;
      this.waiting = null;
      try {
        const image = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
        if (this.canvas.width !== image.width || this.canvas.height !== image.height) {
          this.canvas.width = image.width;
          this.canvas.height = image.height;
        }
        this.context.drawImage(image, 0, 0);
        image.close();
        this.element.dataset.picture = "shown";
      } catch {
        // Ignore an unreadable picture; the next one will come.
      }
    }
    this.busy = false;
  }

  describe(camera) {
    this.element.dataset.state = camera.state;
    if (camera.title) put(this.element.querySelector(".name"), camera.title);
    const isDoubtful = camera.state === "live" && camera.warning;
    put(this.element.querySelector(".state"), isDoubtful ? "ids missing" : LABELS[camera.state] || camera.state);
    put(this.element.querySelector(".reason strong"), TITLES[camera.state] || "");
    this.element.toggleAttribute("data-warning", Boolean(camera.warning));
    const reasons = [camera.message === camera.state ? "" : camera.message, camera.warning || ""];
    put(this.element.querySelector(".reason span"), reasons.filter(Boolean).join("; "));
    put(this.element.querySelector(".age"), camera.picture_age_s === null ? "" : age(camera.picture_age_s));
    const tracks = ["live", "moving", "moved"].includes(camera.state) && camera.live_tracks !== null ? camera.live_tracks : null;
    put(this.element.querySelector(".tracks"), tracks === null ? "" : `${tracks} ${tracks === 1 ? "track" : "tracks"}`);
  }
}
