// The only connection of a live page. `/wall.stream` is a sequence of messages: two little-endian uint32 lengths, a JSON
// header, a body (a JPEG or nothing). See services/streamer/wall_stream.py.

// The state comes twice a second, a second later while Redis does not answer: after this long without a byte the
// connection is dead. The page has to say so within 3 s.
const SILENCE_MS = 2500;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 5000;

class ByteQueue {
  constructor() {
    this.bytes = new Uint8Array(1 << 18);
    this.start = 0;
    this.end = 0;
  }

  get length() {
    return this.end - this.start;
  }

  push(chunk) {
    if (this.end + chunk.length > this.bytes.length) {
      const kept = this.bytes.subarray(this.start, this.end);
      const target = kept.length + chunk.length > this.bytes.length
        ? new Uint8Array(2 * (kept.length + chunk.length))
        : this.bytes;
      target.set(kept, 0);
      this.end = kept.length;
      this.start = 0;
      this.bytes = target;
    }
    this.bytes.set(chunk, this.end);
    this.end += chunk.length;
  }

  // The next message, or null while it is incomplete. The body is a copy, because the queue's buffer is reused.
  next() {
    if (this.length < 8) return null;
    const lengths = new DataView(this.bytes.buffer, this.start, 8);
    const header = lengths.getUint32(0, true);
    const body = lengths.getUint32(4, true);
    if (this.length < 8 + header + body) return null;
    const at = this.start + 8;
    const text = new TextDecoder().decode(this.bytes.subarray(at, at + header));
    const message = { header: JSON.parse(text), body: this.bytes.slice(at + header, at + header + body) };
    this.start = at + header + body;
    return message;
  }
}

export class WallStream {
  // Calls onMessage(header, body) for each message, and onLost(reason) when the connection is lost.
  constructor(url, onMessage, onLost) {
    this.url = url;
    this.onMessage = onMessage;
    this.onLost = onLost;
    this.retryMs = FIRST_RETRY_MS;
    this.abort = null;
    this.timer = 0;
  }

  open() {
    if (this.abort) return;
    clearTimeout(this.timer);
    this.abort = new AbortController();
    this.read(this.abort);
  }

  close() {
    clearTimeout(this.timer);
    if (this.abort) this.abort.abort();
    this.abort = null;
  }

  async read(abort) {
    let reason = "";
    let silence = 0;
    const listen = () => {
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENCE_MS);
    };
    try {
      listen();
      const response = await fetch(this.url, { signal: abort.signal, cache: "no-store" });
      if (response.status === 401) location.reload(); // logged out: the streamer answers with the login
      if (!response.ok) {
        reason = (await response.text()).trim();
        throw new Error(reason);
      }
      const queue = new ByteQueue();
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        listen();
        queue.push(value);
        for (let message = queue.next(); message; message = queue.next()) {
          this.retryMs = FIRST_RETRY_MS;
          this.onMessage(message.header, message.body);
        }
      }
    } catch {
      // The connection is lost, whatever the error; the code below handles it.
    }
    clearTimeout(silence);
    if (this.abort !== abort) return; // closed on purpose
    abort.abort();
    this.abort = null;
    this.onLost(reason);
    this.timer = setTimeout(() => this.open(), this.retryMs * (0.75 + Math.random() / 2));
    this.retryMs = Math.min(LAST_RETRY_MS, 2 * this.retryMs);
  }
}
