// One set after another: load, show, take the answer, send it.

import { Answer } from "/answer.js";
import { Clock } from "/clock.js";
import { toggleFullScreen } from "/dom.js";
import { arrangePanes } from "/geometry.js";
import { listenToPointers } from "/gestures.js";
import { isHelpOpen, openHelp } from "/help.js";
import { findCommand } from "/keys.js";
import { buildTrialPage } from "/trial_page.js";
import { Viewer } from "/viewer.js";
import { listChoices } from "/words.js";

export class Trial {
  /** study: reply of /api/open. answered(answer): called with what the reader gave, when it is complete. */
  constructor(study, answered) {
    this.study = study;
    this.answered = answered;
    this.clock = new Clock();
    this.enlarged = -1;
    this.open = false; // whether an answer can be given now
    this.choices = listChoices(study.design, study.panes);
    this.act = this.#listActions();
    this.page = buildTrialPage(study, this.act);
    const canvases = this.page.panes.map((pane) => pane.canvas);
    this.viewer = new Viewer(canvases, study, () => this.#describeView());
    listenToPointers(this.viewer, (pane) => this.#enlarge(this.enlarged < 0 ? pane : -1));
    document.addEventListener("keydown", (event) => this.#press(event));
    new ResizeObserver(() => this.#arrange()).observe(this.page.grid);
    window.addEventListener("resize", () => this.#arrange());
  }

  get node() {
    return this.page.node;
  }

  /** Say what happens, in the line that a screen reader speaks. */
  say(words) {
    this.page.message.textContent = words;
  }

  /** "Saving", "Retrying", "Saved" or "". */
  setState(words) {
    this.page.state.textContent = words;
  }

  /** Take the images away until the next ones come; nothing can be answered meanwhile. */
  close() {
    this.open = false;
    this.page.node.inert = true;
  }

  /** Show a set. trial: reply of /api/trial. frames: bytes of each pane. Resolves when all are on the screen. */
  async start(trial, frames) {
    const { page, study } = this;
    this.trial = trial;
    this.answer = new Answer(study.design, study.panes, study.anchors.length);
    this.counts = { enlarge: 0, help: 0 };
    for (const what of Object.keys(this.viewer.counts)) this.viewer.counts[what] = 0;
    page.practice.hidden = !trial.training;
    page.count.textContent = `${trial.number} of ${trial.total}`;
    page.grid.setAttribute("aria-label", `Set ${trial.number} of ${trial.total}${trial.training ? ", practice" : ""}`);
    page.progress.value = trial.done;
    page.progress.max = trial.total;
    page.comment.value = "";
    for (const input of page.panes.flatMap((pane) => pane.ratings)) input.checked = false;
    this.#showPicks();
    this.#enlarge(-1);
    this.#arrange();
    this.viewer.active = 0;
    this.viewer.setFrames(frames);
    page.node.inert = false;
    page.grid.focus({ preventScroll: true });
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    this.clock.start();
    this.open = true;
  }

  #listActions() {
    const viewer = () => this.viewer;
    const active = () => this.viewer.active;
    const ratio = () => window.devicePixelRatio;
    return {
      pick: (value) => this.#pick(value),
      pickByKey: (digit) => this.choices[digit - 1] && this.#pick(this.choices[digit - 1].value),
      rate: (pane, step) => this.#rate(pane, step),
      rateByKey: (pane, digit) => this.#rateByKey(pane, digit),
      next: () => this.#finish(),
      drag: (right, down) => viewer().drag(active(), right, down),
      pan: (right, down) => viewer().pan(active(), right * ratio(), down * ratio()),
      zoom: (factor) => viewer().zoom(active(), factor),
      invert: () => viewer().invert(active()),
      reset: () => viewer().reset(active()),
      link: () => this.study.panes > 1 && viewer().toggleLink(),
      fullScreen: toggleFullScreen,
      help: () => this.#help(),
      enlarge: () => this.#enlarge(this.enlarged < 0 ? active() : -1),
      flip: (by) => this.#flip(by),
      leave: () => (this.enlarged >= 0 ? this.#enlarge(-1) : this.page.grid.focus()),
      write: () => this.page.comment.focus(),
      stopWriting: () => this.page.next.focus(),
    };
  }

  #press(event) {
    if (!this.open || isHelpOpen() || !this.page.node.isConnected) return;
    const pane = this.page.panes.findIndex((one) => one.ratings.includes(document.activeElement));
    const command = findCommand(event, this.act, pane);
    if (!command) return;
    event.preventDefault();
    command();
  }

  #pick(value) {
    if (!this.open) return;
    this.answer.pick(value);
    this.#showPicks();
    this.say("");
  }

  #showPicks() {
    for (const { button, label, choice } of this.page.picks) {
      const picked = choice.value === this.answer.choice;
      button.setAttribute("aria-pressed", String(picked));
      label.textContent = picked ? choice.pickedWords : choice.words;
    }
    if (this.study.panes === 1) return;
    for (const { node, picks } of this.page.panes) {
      node.classList.toggle("picked", picks[0].choice.value === this.answer.choice);
    }
  }

  #rate(pane, step) {
    if (!this.open) return;
    this.answer.rate(pane, step);
    this.say("");
  }

  // After a digit the next image without a rating has the focus, so that four digits rate four images.
  #rateByKey(pane, digit) {
    const input = this.page.panes[pane].ratings[digit - 1];
    if (!input) return;
    input.checked = true;
    this.#rate(pane, digit);
    const open = this.answer.unrated;
    if (open.length) this.#focusRating(open.find((other) => other > pane) ?? open[0]);
    else this.page.next.focus();
  }

  #focusRating(pane) {
    if (this.enlarged >= 0) this.#enlarge(pane);
    const { ratings } = this.page.panes[pane];
    (ratings.find((input) => input.checked) ?? ratings[0]).focus();
  }

  #finish() {
    if (!this.open) return;
    if (this.answer.complete) {
      this.answered(this.#render());
      return;
    }
    this.say(this.answer.missing);
    if (this.answer.choice !== null) this.#focusRating(this.answer.unrated[0]);
  }

  #render() {
    const { views, counts, linked } = this.viewer;
    return {
      trial: this.trial.trial,
      ...this.answer.render(),
      ...this.clock.read(),
      actions: {
        views: views.map(({ centre, width, inverted, zoom }) => [round(centre), round(width), inverted ? 1 : 0, round(zoom)]),
        linked,
        ...counts,
        ...this.counts,
        changed_pick: this.answer.changes.pick,
        changed_rating: this.answer.changes.rating,
      },
      comment: this.page.comment.value.trim(),
    };
  }

  #help() {
    this.counts.help += 1;
    openHelp(this.study);
  }

  #enlarge(pane) {
    if (this.study.panes === 1) return;
    if (pane >= 0) {
      this.counts.enlarge += 1;
      this.viewer.active = pane;
    }
    this.enlarged = pane;
    this.page.panes.forEach((one, index) => (one.node.hidden = pane >= 0 && index !== pane));
    this.#arrange();
    if (pane >= 0) this.page.panes[pane].canvas.focus({ preventScroll: true });
  }

  #flip(by) {
    const count = this.study.panes;
    if (this.enlarged >= 0) this.#enlarge((this.enlarged + by + count) % count);
  }

  #arrange() {
    const { grid } = this.page;
    if (!grid.isConnected || !grid.clientWidth) return;
    const { width, height, panes, anchors } = this.study;
    const found = arrangePanes({
      width: grid.clientWidth,
      height: grid.clientHeight,
      count: this.enlarged >= 0 ? 1 : panes,
      aspect: width / height,
      ratingSteps: anchors.length,
      ratio: window.devicePixelRatio,
    });
    grid.classList.toggle("beside", found.beside);
    grid.classList.toggle("one-row", found.oneRow);
    this.page.node.classList.toggle("words", found.words);
    grid.style.gridTemplateColumns = `repeat(${found.columns}, ${found.cellWidth}px)`;
    grid.style.gridAutoRows = `${found.cellHeight}px`;
    for (const { node, canvas } of this.page.panes) {
      node.style.gridTemplateColumns = found.beside ? `${found.imageWidth}px minmax(0, 1fr)` : "minmax(0, 1fr)";
      node.style.gridTemplateRows = found.beside ? "minmax(0, 1fr)" : `${found.imageHeight}px minmax(0, 1fr)`;
      canvas.style.width = `${found.imageWidth}px`;
      canvas.style.height = `${found.imageHeight}px`;
    }
    this.viewer.resize(found.imageWidth, found.imageHeight, window.devicePixelRatio);
  }

  #describeView() {
    const { views, active, linked } = this.viewer;
    const { centre, width, zoom } = views[active];
    this.page.view.textContent = `W ${Math.round(width)}  L ${Math.round(centre)}  ${zoom.toFixed(1)}×`;
    this.page.link.setAttribute("aria-pressed", String(linked));
    this.page.link.textContent = linked ? "Linked" : "Unlinked";
    this.page.panes.forEach((pane, index) => pane.node.classList.toggle("active", !linked && index === active));
  }
}

function round(value) {
  return Math.round(value * 100) / 100;
}
