// The display check: can the darkest and the brightest steps be told apart, and is the window large enough?

import { make, makeButton, show, toggleFullScreen } from "/dom.js";

const CORNERS = ["upper left", "upper right", "lower left", "lower right"];
const LEAST_WIDTH = 1200; // CSS px; of a 1280 x 800 screen with a browser's own bars
const LEAST_HEIGHT = 620;

/** Facts of the display as it is now. */
export function describeDisplay() {
  return {
    device_pixel_ratio: window.devicePixelRatio,
    viewport: [window.innerWidth, window.innerHeight],
    screen: [window.screen.width, window.screen.height],
    full_screen: document.fullscreenElement !== null,
  };
}

/** Why this display is a poor one for reading, or "". */
export function warnOfDisplay() {
  const touchOnly = window.matchMedia("(pointer: coarse)").matches && !window.matchMedia("(any-pointer: fine)").matches;
  const small = window.innerWidth < LEAST_WIDTH || window.innerHeight < LEAST_HEIGHT;
  if (touchOnly && small) return "This is a small touch screen. Please read on a workstation if you can.";
  if (small) return "This window is small for reading. Please enlarge it, use the full screen, or move to a larger screen.";
  return "";
}

/** Show the check; resolves with the facts and with whether each patch was found. */
export function checkDisplay() {
  return new Promise((resolve) => {
    const fields = ["dark", "light"].map((tone) => new PatchField(tone, update));
    const facts = make("p", { className: "facts" });
    const warning = make("p", { className: "warning", role: "status" });
    const next = make("button", { type: "submit", className: "main" }, "Continue");
    const missing = make("p", { className: "missing", role: "status" });

    function update() {
      const { viewport, screen, device_pixel_ratio: ratio } = describeDisplay();
      facts.textContent = `Window ${viewport.join(" × ")}, screen ${screen.join(" × ")}, scale ${Number(ratio.toFixed(2))}.`;
      const poor = fields.some((field) => field.answered && !field.found);
      warning.textContent = [
        warnOfDisplay(),
        poor ? "A patch was not found: dim the room, or raise the brightness of the screen, and look again if you can." : "",
      ].join(" ").trim();
      missing.textContent = "";
    }

    function finish(event) {
      event.preventDefault();
      const open = fields.find((field) => !field.answered);
      if (open) {
        missing.textContent = "Still to do: say where you see each patch, or that you see none.";
        open.focus();
        return;
      }
      window.removeEventListener("resize", update);
      resolve({ ...describeDisplay(), dark_patch: fields[0].found, light_patch: fields[1].found });
    }

    show(
      make(
        "form",
        { className: "sheet", onsubmit: finish },
        make("h1", {}, "Display check"),
        make("p", {}, "In one corner of each field lies a small square that differs a little from its ground. Click it, or say where it is."),
        make("div", { className: "patches" }, fields.map((field) => field.node)),
        facts,
        warning,
        make("div", { className: "actions" }, next, makeButton("Full screen", { onclick: toggleFullScreen }), missing),
      ),
    );
    window.addEventListener("resize", update);
    update();
  });
}

class PatchField {
  constructor(tone, changed) {
    this.place = crypto.getRandomValues(new Uint8Array(1))[0] % CORNERS.length;
    this.answer = null;
    this.inputs = [...CORNERS, "I see none"].map((words, index) =>
      make("input", {
        type: "radio",
        name: tone,
        id: `${tone}-${index}`,
        onchange: () => {
          this.answer = index;
          changed();
        },
      }),
    );
    const corners = CORNERS.map((_, index) =>
      make(
        "div",
        { className: "corner", onclick: () => this.inputs[index].click() },
        index === this.place ? make("div", { className: "patch" }) : null,
      ),
    );
    const choices = this.inputs.map((input, index) =>
      make("label", { className: "choice" }, input, make("span", {}, CORNERS[index] ?? "I see none")),
    );
    const title = tone === "dark" ? "Dark field: 5 % in black" : "Light field: 95 % in white";
    this.node = make(
      "fieldset",
      { className: "patch-field" },
      make("legend", {}, title),
      make("div", { className: `field ${tone}`, "aria-hidden": "true" }, corners),
      make("div", { className: "choices" }, choices),
    );
  }

  get answered() {
    return this.answer !== null;
  }

  get found() {
    return this.answer === this.place;
  }

  focus() {
    this.inputs[0].focus();
  }
}
