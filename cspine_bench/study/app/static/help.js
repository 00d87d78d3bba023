// The help: keys, mouse, and the meaning of the ratings; one key away from every set.

import { make } from "/dom.js";

function listKeys(study) {
  const single = study.design === "single";
  const rating = study.anchors.length;
  return [
    single ? ["1, 2", "Answer: real, synthetic"] : [`1 to ${study.panes}`, "Pick that image"],
    ["Enter", "Next set; says what is missing, and goes there"],
    rating ? ["Tab, then a digit", "Go to an image's ratings, and rate it"] : null,
    ["Arrows", "Window: left, right. Level: up, down"],
    ["Shift + arrows", "Pan"],
    ["+, −", "Zoom"],
    ["I, R", "Invert, reset"],
    single ? null : ["L", "Link the views of all images, or unlink them"],
    single ? null : ["E, Escape", "Enlarge one image, and back"],
    single ? null : ["Page up, Page down", "Previous or next image while one is enlarged"],
    ["F", "Full screen"],
    ["C", "What gave it away"],
    ["?", "This help"],
  ].filter((row) => row !== null);
}

const MOUSE = [
  ["Left drag", "Window: sideways. Level: up and down"],
  ["Wheel", "Zoom where the pointer is"],
  ["Shift, middle or right drag", "Pan"],
  ["Double click", "Enlarge one image, and back"],
];

function makeTable(title, rows) {
  const body = rows.map(([keys, words]) => make("tr", {}, make("th", { scope: "row" }, keys), make("td", {}, words)));
  return make("table", {}, make("caption", {}, title), make("tbody", {}, body));
}

/** The steps of the rating scale with their meaning. */
export function makeAnchors(anchors) {
  const steps = anchors.map((words, index) => make("li", {}, make("b", {}, String(index + 1)), make("span", {}, words)));
  return make("ol", { className: "anchors" }, steps);
}

/** Show the help over the page; Escape, Enter or its button close it. */
export function openHelp(study) {
  const dialog = document.getElementById("help");
  const mouse = study.design === "single" ? MOUSE.slice(0, 3) : MOUSE;
  const right = [makeTable("Mouse", mouse)];
  if (study.anchors.length) right.push(make("h3", {}, "Ratings"), makeAnchors(study.anchors));
  right.push(
    make("h3", {}, "Rules"),
    make("p", {}, "There is no clock, and no way back to an earlier set. You may stop at any time and come back with the same link."),
  );
  const close = make("button", { type: "button", className: "main", onclick: () => dialog.close() }, "Close");
  dialog.replaceChildren(
    make("div", { className: "help-head" }, make("h2", { id: "help-title" }, "Help"), close),
    make("div", { className: "columns" }, makeTable("Keys", listKeys(study)), make("div", {}, right)),
  );
  if (!dialog.open) dialog.showModal();
  close.focus();
}

export function isHelpOpen() {
  return document.getElementById("help").open;
}
