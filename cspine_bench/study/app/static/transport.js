// Talking to the study's server: the same request again until it is answered, and no answer sent as another one.

const PAUSES_S = [0.5, 1, 2, 4, 8, 15];
const LIMIT_S = 60;

/** A reply that no repetition can change. status: of HTTP. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Transport {
  /** token: of the reader's link. waiting(why): told "lost", "busy", "fault" or "" whenever that changes. */
  constructor(token, waiting) {
    this.token = token;
    this.waiting = waiting;
    this.sleepers = new Set();
    window.addEventListener("online", () => this.wake());
  }

  /** Try again now whatever waits for its next try. */
  wake() {
    for (const sleeper of this.sleepers) sleeper();
  }

  /** The reply to one question, as an object. Throws Refused. */
  async ask(what, body = {}) {
    const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    return (await this.#send(`/api/${what}`, options)).json();
  }

  /** The pixels of one pane. Throws Refused, also where their number is not `length`. */
  async fetchFrame(pane, length) {
    const buffer = await (await this.#send(`/api/frame/${pane}`, {})).arrayBuffer();
    if (buffer.byteLength !== length) throw new Refused(502, "An image came incomplete.");
    return buffer;
  }

  async #send(path, options) {
    for (let attempt = 0; ; attempt += 1) {
      const response = await this.#try(path, options);
      const again = response === null || [408, 429].includes(response.status) || response.status >= 500;
      if (!again) {
        this.waiting("");
        if (response.ok) return response;
        throw new Refused(response.status, await readError(response));
      }
      this.waiting(nameTrouble(response));
      await this.#pause(readPause(response) ?? PAUSES_S[Math.min(attempt, PAUSES_S.length - 1)]);
    }
  }

  // The whole body is read here: a connection that breaks half-way is one that is tried again.
  async #try(path, options) {
    const headers = { ...options.headers, Authorization: `Bearer ${this.token}` };
    try {
      const signal = AbortSignal.timeout(LIMIT_S * 1000);
      const response = await fetch(path, { ...options, headers, signal, cache: "no-store", credentials: "omit" });
      return new Response(await response.arrayBuffer(), { status: response.status, headers: response.headers });
    } catch {
      return null; // no server, no network, or too slow
    }
  }

  #pause(seconds) {
    return new Promise((resolve) => {
      const sleeper = () => {
        clearTimeout(timer);
        this.sleepers.delete(sleeper);
        resolve();
      };
      const timer = setTimeout(sleeper, seconds * 1000);
      this.sleepers.add(sleeper);
    });
  }
}

function nameTrouble(response) {
  if (response === null) return "lost";
  return response.status === 429 ? "busy" : response.status === 408 ? "lost" : "fault";
}

function readPause(response) {
  const seconds = Number.parseFloat(response?.headers.get("Retry-After") ?? "");
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0.5), 60) : null;
}

async function readError(response) {
  try {
    return String((await response.json()).error ?? "");
  } catch {
    return "";
  }
}

/** A random UUID of version 4. (`crypto.randomUUID` is missing where a page comes over plain http.) */
export function makeUuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
