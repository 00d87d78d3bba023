// The images of a display set: one canvas each, all drawn in the same way.

import { panBy, placeImage, wholeView, zoomAt } from "/geometry.js";
import { buildTable, dragWindow } from "/window_level.js";

export class Viewer {
  /**
   * canvases: one for each image. format: {width, height, bit_depth, window} of all images.
   * changed: called after every change of what is shown.
   */
  constructor(canvases, format, changed = () => {}) {
    this.canvases = canvases;
    this.format = format;
    this.changed = changed;
    this.linked = true;
    this.active = 0;
    this.images = [];
    this.pending = 0;
    this.counts = { window: 0, zoom: 0, pan: 0, invert: 0, reset: 0, link: 0 };
    this.lastCount = { what: "", time: -Infinity };
    this.views = canvases.map(() => this.#firstView());
  }

  /** Levels by which a window changes for one CSS px of a drag. */
  get step() {
    return Math.max(this.format.window[1], 2) / 512;
  }

  #firstView() {
    const [centre, width] = this.format.window;
    return { centre, width, inverted: false, ...wholeView() };
  }

  /** Show new images, given as bytes, all at once. */
  setFrames(buffers) {
    const { width, height, bit_depth: bitDepth } = this.format;
    this.images = buffers.map((buffer) => {
      const gray = document.createElement("canvas");
      gray.width = width;
      gray.height = height;
      const context = gray.getContext("2d", { alpha: false, willReadFrequently: true });
      const pixels = context.createImageData(width, height);
      return { levels: readLevels(buffer, bitDepth), gray, context, pixels, shown: "" };
    });
    this.views = this.canvases.map(() => this.#firstView());
    this.drawNow();
  }

  /** Give every canvas the same number of device pixels, as wide and high as on the screen. */
  resize(width, height, ratio) {
    for (const canvas of this.canvases) {
      canvas.width = Math.max(Math.round(width * ratio), 1);
      canvas.height = Math.max(Math.round(height * ratio), 1);
    }
    this.drawNow();
  }

  drag(pane, right, down) {
    this.#change(pane, "window", (view) => ({
      ...view,
      ...dragWindow(view, { right, down, step: this.step, bitDepth: this.format.bit_depth }),
    }));
  }

  /** x, y: device pixels of the canvas; in its middle without them. */
  zoom(pane, factor, x = this.canvases[pane].width / 2, y = this.canvases[pane].height / 2) {
    this.#change(pane, "zoom", (view) => zoomAt(view, { x, y, factor }, this.canvases[pane], this.format));
  }

  /** right, down: device pixels of the canvas. */
  pan(pane, right, down) {
    this.#change(pane, "pan", (view) => panBy(view, { right, down }, this.canvases[pane], this.format));
  }

  invert(pane) {
    this.#change(pane, "invert", (view) => ({ ...view, inverted: !view.inverted }));
  }

  reset(pane) {
    this.#change(pane, "reset", () => this.#firstView());
  }

  /** Link the views, all as the active one is, or let each go its own way. */
  toggleLink() {
    this.linked = !this.linked;
    this.counts.link += 1;
    if (this.linked) this.views = this.views.map(() => ({ ...this.views[this.active] }));
    this.#drawSoon();
  }

  #change(pane, what, next) {
    this.active = pane;
    const view = next(this.views[pane]);
    this.views = this.views.map((old, index) => (this.linked || index === pane ? { ...view } : old));
    this.#count(what);
    this.#drawSoon();
  }

  /** A button or a finger goes down: what follows is another action than what came before. */
  startGesture() {
    this.lastCount.what = "";
  }

  // A drag or a turn of the wheel is one action, however many events it has.
  #count(what) {
    const time = performance.now();
    const same = what === this.lastCount.what && time - this.lastCount.time < 400;
    if (!same || what === "invert" || what === "reset") this.counts[what] += 1;
    this.lastCount = { what, time };
  }

  #drawSoon() {
    this.pending ||= requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    cancelAnimationFrame(this.pending);
    this.pending = 0;
    const tables = new Map();
    this.images.forEach((image, pane) => this.#draw(this.canvases[pane], image, this.views[pane], tables));
    this.changed();
  }

  #draw(canvas, image, view, tables) {
    const { centre, width, inverted } = view;
    const key = `${centre} ${width} ${inverted}`;
    if (image.shown !== key) {
      if (!tables.has(key)) tables.set(key, packTable({ centre, width, inverted, bitDepth: this.format.bit_depth }));
      const [packed, pixels] = [tables.get(key), new Uint32Array(image.pixels.data.buffer)];
      for (let index = 0; index < pixels.length; index += 1) pixels[index] = packed[image.levels[index]];
      image.context.putImageData(image.pixels, 0, 0);
      image.shown = key;
    }
    const context = canvas.getContext("2d", { alpha: false });
    const { scale, left, top } = placeImage(view, canvas, this.format);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = scale !== 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(image.gray, left, top, this.format.width * scale, this.format.height * scale);
  }
}

function packTable(settings) {
  return Uint32Array.from(buildTable(settings), (gray) => (0xff000000 | (gray << 16) | (gray << 8) | gray) >>> 0);
}

// Sixteen bits come with the low byte first, whatever this machine's own order is.
function readLevels(buffer, bitDepth) {
  if (bitDepth === 8) return new Uint8Array(buffer);
  const bytes = new DataView(buffer);
  return Uint16Array.from({ length: buffer.byteLength / 2 }, (_, index) => bytes.getUint16(2 * index, true));
}
