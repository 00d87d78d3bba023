// The study from the link to the last page.

import { checkDisplay } from "/display_check.js";
import { makeButton, show } from "/dom.js";
import { askConsent, endPractice, showFinished, showNote, welcomeBack } from "/screens.js";
import { makeUuid, Refused, Transport } from "/transport.js";
import { Trial } from "/trial.js";

const LOST = "Connection lost. The page tries again by itself.";
const LOST_ANSWER = "Connection lost: your answer is kept on this page and is sent again.";
const FAULT = "The server has a fault. The page tries again by itself.";
const FAULT_ANSWER = "The server has a fault: your answer is kept on this page and is sent again. If this lasts, tell the study lead.";
const BUSY = "The server is busy. The page waits a moment and tries again.";

let sending = null; // the page whose answer waits for the server
let waitingFor = "";

window.addEventListener("beforeunload", (event) => {
  if (sending) event.preventDefault();
});
window.addEventListener("hashchange", () => window.location.reload());

const transport = new Transport(window.location.hash.slice(1), (why) => {
  waitingFor = why;
  showConnection();
});

function showConnection() {
  const bar = document.getElementById("connection");
  sending?.setState(waitingFor ? "Retrying" : "Saving");
  if (!waitingFor) {
    bar.hidden = true;
    bar.replaceChildren();
    return;
  }
  const words = { busy: BUSY, lost: sending ? LOST_ANSWER : LOST, fault: sending ? FAULT_ANSWER : FAULT }[waitingFor];
  if (!bar.hidden && bar.firstChild?.textContent === words) return; // said already
  bar.replaceChildren(Object.assign(document.createElement("span"), { textContent: words }));
  bar.append(makeButton("Try now", { onclick: () => transport.wake() }));
  bar.hidden = false;
}

async function run() {
  if (!transport.token) {
    showNote("This address is not complete", "Open the whole link that the study lead sent you.");
    return;
  }
  showNote("Checking the link", "One moment.");
  const study = await transport.ask("open");
  document.title = study.title;
  if (study.finished) {
    showFinished(study, study.done);
    return;
  }
  await prepare(study);
  await readSets(study);
}

async function prepare(study) {
  const back = study.consented && study.display_checked;
  if (!study.consented) {
    await askConsent(study);
    await transport.ask("consent");
  }
  if (!back || (await welcomeBack(study)) === "check") await transport.ask("display", await checkDisplay());
}

async function readSets(study) {
  let answered = () => {};
  const page = new Trial(study, (answer) => answered(answer));
  const length = study.width * study.height * (study.bit_depth / 8);
  let practised = false;
  let note = "";
  let vanished = "";
  for (;;) {
    const trial = await transport.ask("trial");
    if (trial.finished) {
      showFinished(study, trial.done);
      return;
    }
    if (practised && !trial.training) await endPractice(trial.total - trial.done);
    practised = trial.training;
    const frames = await loadFrames(trial, length);
    if (frames === null) {
      if (trial.trial === vanished) throw new Error("The images of this set are missing.");
      vanished = trial.trial;
      continue; // answered elsewhere meanwhile
    }
    if (!page.node.isConnected) show(page.node);
    const given = new Promise((resolve) => (answered = resolve));
    await page.start(trial, frames);
    page.say(note);
    note = await send(page, await given);
  }
}

async function loadFrames(trial, length) {
  try {
    return await Promise.all(trial.panes.map((pane) => transport.fetchFrame(pane, length)));
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return null;
    throw error;
  }
}

// The answer keeps its UUID until the server has it, so that it counts once however often it is sent.
async function send(page, answer) {
  let state = "";
  page.close();
  page.say("");
  sending = page;
  showConnection();
  try {
    await transport.ask("answer", { answer: makeUuid(), ...answer });
    state = "Saved";
    return "";
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 409) throw error;
    return "The set before was answered on another page or computer already; that answer stays.";
  } finally {
    sending = null;
    page.setState(state);
    showConnection();
  }
}

function explain(error) {
  if (error instanceof Refused && error.status === 401) {
    showNote("This link is not valid (any more)", "Ask the study lead for a new one. What was saved stays saved.");
  } else if (error instanceof Refused && error.status === 403 && error.message.startsWith("this study is over")) {
    showNote("This study is over", "It takes no more answers. What was saved before stays saved. Thank you.");
  } else {
    const why = error instanceof Refused ? `The server said: ${error.message || error.status}` : String(error.message);
    showNote("The study cannot go on", why, "Load this page again; if that does not help, tell the study lead.");
  }
}

run().catch(explain);
