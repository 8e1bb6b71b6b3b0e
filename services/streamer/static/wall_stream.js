// The only connection of a live page. `/wall.stream` is a sequence of messages: two little-endian uint32 lengths, a JSON
// header, a body (a JPEG or nothing). See services/streamer/wall_stream.py.

// The state comes every 0.4 s, a second later while Redis does not answer: after this long without a byte the
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
  // Opens address(). Calls onMessage(header, body) for each message, and onLost(reason) when the connection is lost.
  constructor(address, onMessage, onLost) {
    this.address = address;
    this.onMessage = onMessage;
    this.onLost = onLost;
    this.retryMs = FIRST_RETRY_MS;
    this.timer = 0;
    this.current = null; // the AbortController of the connection whose messages count
    this.next = null; // of the one that takes over with its first message
  }

  open() {
    if (!this.current && !this.next) this.change();
  }

  // Opens the address as it is now. A connection that is open goes on until the new one has answered.
  change() {
    clearTimeout(this.timer);
    if (this.next) this.next.abort();
    this.next = new AbortController();
    this.read(this.next);
  }

  close() {
    clearTimeout(this.timer);
    for (const connection of [this.current, this.next]) if (connection) connection.abort();
    this.current = this.next = null;
  }

  takeOver(connection) {
    if (this.current) this.current.abort();
    this.current = connection;
    this.next = null;
    this.retryMs = FIRST_RETRY_MS;
  }

  async read(connection) {
    let reason = "";
    let silence = 0;
    const listen = () => {
      clearTimeout(silence);
      silence = setTimeout(() => connection.abort(), SILENCE_MS);
    };
    try {
      listen();
      const response = await fetch(this.address(), { signal: connection.signal, cache: "no-store" });
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
          if (this.next === connection) this.takeOver(connection);
          if (this.current !== connection) return;
          this.onMessage(message.header, message.body);
        }
      }
    } catch {
      // The connection is lost, whatever the error; the code below handles it.
    } finally {
      clearTimeout(silence);
    }
    this.lost(connection, reason);
  }

  lost(connection, reason) {
    connection.abort();
    if (this.current === connection) this.current = null;
    else if (this.next === connection) this.next = null;
    else return; // closed on purpose
    if (this.next) return; // it takes over, or is lost in its turn
    if (!this.current) this.onLost(reason);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.change(), this.retryMs * (0.75 + Math.random() / 2));
    this.retryMs = Math.min(LAST_RETRY_MS, 2 * this.retryMs);
  }
}
