// The page of a set: its elements. What they do stands in trial.js.

import { make, makeButton } from "/dom.js";
import { listChoices, NOTICE, QUESTION } from "/words.js";

const GAVE_AWAY = "What gave it away? (optional)";

/**
 * Build the page.
 *
 * study: reply of /api/open. act: {pick(value), rate(pane, step), next(), link(), invert(), reset(), fullScreen(),
 * help()}, called by its buttons. Every pane is built by the same lines; nothing in it but its number differs.
 */
export function buildTrialPage(study, act) {
  const panes = Array.from({ length: study.panes }, (_, index) => buildPane(study, act, index));
  const parts = {
    panes,
    picks: panes.flatMap((pane) => pane.picks),
    progress: make("progress", { max: study.total, value: 0, "aria-label": "Sets answered" }),
    count: make("span", { className: "count" }),
    practice: make("span", { className: "practice", hidden: true }, "Practice"),
    state: make("span", { className: "state", role: "status" }),
    view: make("span", { className: "view" }),
    link: makeButton("Linked", { className: "link", title: "Link the views (L)", "aria-pressed": "true", onclick: act.link }),
    message: make("p", { className: "message", role: "status" }),
    comment: make("input", { type: "text", id: "comment", maxLength: 500, autocomplete: "off", placeholder: GAVE_AWAY }),
    next: make("button", { type: "button", className: "main", onclick: act.next }, "Next"),
    grid: make("section", { className: "grid", tabIndex: -1, "aria-label": "Images" }, panes.map((pane) => pane.node)),
  };
  parts.node = make("div", { className: study.anchors.length ? "trial rated" : "trial" }, buildHead(study, act, parts), parts.grid, buildFoot(study, parts));
  return parts;
}

function buildHead(study, act, parts) {
  const tool = (words, key, press) => makeButton(words, { title: `${words} (${key})`, onclick: press });
  return make(
    "header",
    {},
    parts.practice,
    make("div", { className: "question" }, make("h1", {}, QUESTION[study.design]), make("p", {}, NOTICE)),
    make(
      "div",
      { className: "tools", role: "group", "aria-label": "Viewer" },
      parts.view,
      ...(study.panes > 1 ? [parts.link] : []),
      tool("Invert", "I", act.invert),
      tool("Reset", "R", act.reset),
      tool("Full screen", "F", act.fullScreen),
      tool("Help", "?", act.help),
    ),
    make("div", { className: "progress" }, parts.count, parts.progress),
  );
}

function buildFoot(study, parts) {
  const legend = study.anchors.map((words, index) => [make("b", {}, String(index + 1)), ` ${words}`]);
  return make(
    "footer",
    {},
    make("label", { for: "comment" }, GAVE_AWAY),
    parts.comment,
    make("p", { className: "legend" }, legend.map((words) => make("span", {}, words))),
    parts.message,
    parts.state,
    parts.next,
  );
}

function buildPane(study, act, index) {
  const name = study.panes === 1 ? "Image" : `Image ${index + 1}`;
  const canvas = make("canvas", { tabIndex: 0, role: "img", "aria-label": "Image to judge" });
  const choices = listChoices(study.design, study.panes);
  const own = study.panes === 1 ? choices : [choices[index]];
  const picks = own.map((choice, place) => buildPick(choice, study.panes === 1 ? place : index, act));
  const rating = study.anchors.length ? buildRating(study, act, index) : null;
  const asked = make(
    "div",
    { className: "asked" },
    make("div", { className: "picks" }, picks.map((pick) => pick.button)),
    rating?.node ?? null,
  );
  const node = make(
    "div",
    { className: "pane", role: "group", "aria-label": name },
    make("div", { className: "film" }, canvas),
    asked,
  );
  return { node, canvas, picks, ratings: rating?.inputs ?? [] };
}

function buildPick(choice, place, act) {
  const button = makeButton("", { className: "pick", "aria-pressed": "false", "aria-label": choice.spoken });
  button.append(make("kbd", {}, String(place + 1)), make("span", {}, choice.words));
  button.addEventListener("click", () => act.pick(choice.value));
  return { button, label: button.lastChild, choice };
}

function buildRating(study, act, index) {
  const of = study.panes === 1 ? "the image" : `image ${index + 1}`;
  const inputs = study.anchors.map((words, step) =>
    make("input", {
      type: "radio",
      name: `rating-${index + 1}`,
      value: String(step + 1),
      "aria-label": `${step + 1}, ${words}`,
      onchange: () => act.rate(index, step + 1),
    }),
  );
  const labels = inputs.map((input, step) =>
    make(
      "label",
      { title: study.anchors[step], onmousedown: (event) => event.preventDefault() },
      input,
      make("b", {}, String(step + 1)),
      make("span", {}, study.anchors[step]),
    ),
  );
  const node = make(
    "fieldset",
    { className: "rating" },
    make("legend", { "data-keys": ` (keys 1 to ${study.anchors.length})` }, `Realism of ${of}`),
    make("div", { className: "steps" }, labels),
  );
  return { node, inputs };
}
