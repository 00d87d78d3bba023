// The pages before, between and after the sets. Each resolves when the reader goes on.

import { make, makeButton, show, toggleFullScreen } from "/dom.js";
import { warnOfDisplay } from "/display_check.js";
import { makeAnchors } from "/help.js";
import { NOTICE, TASK } from "/words.js";

/** A page with a heading, and nothing to press: progress, an end, or an error. */
export function showNote(title, ...paragraphs) {
  show(make("section", { className: "sheet narrow" }, make("h1", {}, title), paragraphs.map((words) => make("p", {}, words))));
}

/** What the study asks and stores; resolves when the reader agrees. */
export function askConsent(study) {
  const training = study.training
    ? `The first ${study.training} of ${study.total} sets are practice and count in no result.`
    : `There are ${study.total} sets.`;
  const asks = [
    make("h2", {}, "What you are asked"),
    make("p", {}, `${TASK[study.design]} ${training}`),
  ];
  if (study.anchors.length) {
    asks.push(make("p", {}, "Rate also how much each image looks like a radiograph:"), makeAnchors(study.anchors));
  }
  asks.push(
    make("p", {}, "Take the time that you need: there is no limit. You are not told whether an answer is right, and an answer cannot be changed once you go on."),
  );
  const stored = [
    make("h2", {}, "What is stored"),
    make("p", {}, `Your pseudonym (${study.reader}), your answers with their times, how the viewer was used, what you write as a note, the size of your screen, and whether you found the patches of the display check. No name, no address of your computer, no cookies.`),
    make("h2", {}, "Stopping"),
    make("p", {}, "You may stop at any time, without a reason. Every answer is saved as you give it; the same link brings you back to where you were, on any computer. Please pass the link to nobody."),
    make("h2", {}, "The images"),
    make("p", {}, `${NOTICE}.`),
  ];
  return showAndWait(
    make("h1", {}, study.title),
    [make("div", { className: "columns" }, make("div", {}, asks), make("div", {}, stored))],
    { go: "I have read this and take part" },
  );
}

/** Back with the same link; resolves with "go" or "check", to look at the display again. */
export function welcomeBack(study) {
  const warning = warnOfDisplay();
  return showAndWait(
    make("h1", {}, "Welcome back"),
    [
      make("p", {}, `${study.done} of ${study.total} sets are answered and saved. You go on where you were.`),
      ...(warning ? [make("p", { className: "warning" }, warning)] : []),
      make("p", { className: "quiet" }, "Another screen than last time? Check it first."),
    ],
    { go: "Go on", check: "Check this display", enter: true },
  );
}

/** Between practice and the sets that count. */
export function endPractice(left) {
  return showAndWait(
    make("h1", {}, "End of practice"),
    [make("p", {}, `From here on every answer counts. ${left === 1 ? "One set follows" : `${left} sets follow`}; the keys stay the same, and ? shows them.`)],
    { go: "Start", enter: true },
  );
}

/** The last page. */
export function showFinished(study, done) {
  showNote("Thank you", `All ${done} sets are answered and saved, ${study.reader}.`, "You may close this page.");
}

// words.enter: whether Enter goes on before anything is focused; to agree to something, a reader presses its button.
function showAndWait(heading, content, words) {
  return new Promise((resolve) => {
    const go = make("button", { type: "button", className: "main", onclick: () => resolve("go") }, words.go);
    const check = words.check
      ? make("button", { type: "button", onclick: () => resolve("check") }, words.check)
      : null;
    const actions = make(
      "div",
      { className: "actions" },
      [go, check, makeButton("Full screen", { onclick: toggleFullScreen })].filter((button) => button !== null),
    );
    if (words.enter) {
      heading.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && !event.repeat) resolve("go");
      });
    }
    const wide = content[0].className === "columns";
    show(make("section", { className: wide ? "sheet" : "sheet narrow" }, heading, content, actions));
  });
}
