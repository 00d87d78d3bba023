// The answer to one set while it is being given: what is picked and rated, and what is still missing.

import { joinWords } from "/words.js";

export class Answer {
  /** design, panes, steps: of the study; steps is 0 without ratings. */
  constructor(design, panes, steps) {
    this.design = design;
    this.steps = steps;
    this.choice = null;
    this.ratings = steps ? new Array(panes).fill(null) : [];
    this.changes = { pick: 0, rating: 0 };
  }

  pick(value) {
    if (this.choice !== null && this.choice !== value) this.changes.pick += 1;
    this.choice = value;
  }

  /** pane: from 0; step: from 1. */
  rate(pane, step) {
    if (this.ratings[pane] !== null && this.ratings[pane] !== step) this.changes.rating += 1;
    this.ratings[pane] = step;
  }

  get unrated() {
    return this.ratings.flatMap((rating, pane) => (rating === null ? [pane] : []));
  }

  get complete() {
    return this.choice !== null && this.unrated.length === 0;
  }

  /** In words; "" when nothing is. */
  get missing() {
    const single = this.design === "single";
    const words = this.choice === null ? [single ? "your answer" : "your pick"] : [];
    const open = this.unrated.map((pane) => String(pane + 1));
    if (open.length === 1 && single) words.push("the rating");
    else if (open.length === this.ratings.length && open.length) words.push("all ratings");
    else if (open.length === 1) words.push(`the rating of image ${open[0]}`);
    else if (open.length) words.push(`the ratings of images ${joinWords(open)}`);
    return words.length ? `Still to do: ${joinWords(words)}.` : "";
  }

  /** The fields of it that the server is sent. */
  render() {
    const single = this.design === "single";
    return { pick: single ? null : this.choice, said: single ? this.choice : null, ratings: this.ratings };
  }
}
