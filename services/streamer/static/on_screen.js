// Which cameras are streamed, and how wide their pictures need to be: those on screen, at the size of their views.

// Few steps, so that few widths are in use and pages share scaled pictures.
const WIDTHS = [320, 480, 640, 960, 1280, 1920, 2560, 3840];
const SETTLE_MS = 200; // scrolling and resizing end before another stream is opened
const MARGIN = "80px"; // a view that is about to be scrolled in already has a picture

export class OnScreen {
  /** @param {Map<string, any>} tiles
   * @param {() => string|null} large
   * @param {() => void} onChange called when `address` has changed
   */
  constructor(tiles, large, onChange) {
    this.tiles = tiles;
    this.large = large;
    this.onChange = onChange;
    this.paused = false;
    this.visible = new Set();
    this.isReady = false; // once it is known what is on screen
    this.limit = null; // {width, cameras}: what the connection could take, if that was less than was asked for
    this.timer = 0;
    this.asked = null;
    this.observer = new IntersectionObserver((entries) => this.moved(entries), { root: document.getElementById("wall"), rootMargin: MARGIN });
  }

  /** Call this when the views have changed. */
  observe() {
    const names = new Set(this.tiles.keys());
    for (const name of this.visible) if (!names.has(name)) this.visible.delete(name);
    this.observer.disconnect();
    for (const tile of this.tiles.values()) this.observer.observe(tile.element);
    if (names.size) return;
    this.isReady = true;
    this.changed();
  }

  /** @param {IntersectionObserverEntry[]} entries */
  moved(entries) {
    for (const entry of entries) {
      const name = /** @type {HTMLElement} */ (entry.target).dataset.camera;
      if (entry.isIntersecting) this.visible.add(name);
      else this.visible.delete(name);
    }
    this.isReady = true;
    this.changed();
  }

  /** Call this when something else has changed that matters: the size of the views, or which one is large. */
  changed() {
    if (!this.isReady) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (this.address() === this.asked) return;
      this.onChange();
    }, this.asked === null ? 0 : SETTLE_MS);
  }

  /** @param {boolean} paused */
  pause(paused) {
    this.paused = paused;
    clearTimeout(this.timer);
    this.onChange();
  }

  /** The cameras that are streamed.
   * @returns {string[]}
   */
  cameras() {
    if (this.paused) return [];
    const large = this.large();
    if (large !== null && this.tiles.has(large)) return [large];
    return [...this.tiles.keys()].filter((name) => this.visible.has(name));
  }

  /** Whether the picture that a camera shows is its newest one, or was when the wall was paused.
   * @param {string} name
   */
  isCurrent(name) {
    return this.paused || this.cameras().includes(name);
  }

  width() {
    const [name] = this.cameras();
    const tile = this.tiles.get(name);
    const pixels = tile ? tile.canvas.clientWidth * devicePixelRatio : 0;
    return WIDTHS.find((width) => width >= pixels) || WIDTHS[WIDTHS.length - 1];
  }

  address() {
    const cameras = this.cameras().map(encodeURIComponent).join(",");
    return cameras ? `/wall.stream?width=${this.width()}&cameras=${cameras}` : "/wall.stream?cameras=";
  }

  /** The address to open now. If the connection was too slow for the last one, this one begins with what it can take. */
  take() {
    this.asked = this.address();
    const cameras = this.cameras().length;
    if (!this.limit || !cameras) return this.asked;
    const first = Math.floor(this.limit.width * Math.sqrt(this.limit.cameras / cameras));
    if (first < this.width()) return `${this.asked}&first_width=${first}`;
    this.limit = null;
    return this.asked;
  }

  /** The streamer says to which width it scales now, because of the connection.
   * @param {number|null} width
   */
  limited(width) {
    this.limit = width === null || width >= this.width() ? null : { width, cameras: this.cameras().length };
  }
}
