// Time on a set, by the clock that never jumps, and how much of it the page could not be seen.

const MOST_MS = 7 * 24 * 3600 * 1000; // what the server takes: a page may lie open for longer

export class Clock {
  constructor() {
    this.started = performance.now();
    this.hiddenSince = null;
    this.hidden = 0;
    for (const name of ["blur", "focus"]) window.addEventListener(name, () => this.#look());
    document.addEventListener("visibilitychange", () => this.#look());
  }

  /** The images appear now. */
  start() {
    this.started = performance.now();
    this.hidden = 0;
    this.hiddenSince = null;
    this.#look();
  }

  /** Milliseconds since the images appeared: all of them, and those during which the page was hidden or not in use. */
  read() {
    const now = performance.now();
    const hidden = this.hidden + (this.hiddenSince === null ? 0 : now - this.hiddenSince);
    return { elapsed_ms: spell(now - this.started), hidden_ms: spell(hidden) };
  }

  #look() {
    const away = document.hidden || !document.hasFocus();
    if (away && this.hiddenSince === null) this.hiddenSince = performance.now();
    if (!away && this.hiddenSince !== null) {
      this.hidden += performance.now() - this.hiddenSince;
      this.hiddenSince = null;
    }
  }
}

function spell(milliseconds) {
  return Math.min(Math.round(milliseconds), MOST_MS);
}
