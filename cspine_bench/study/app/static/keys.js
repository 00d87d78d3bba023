// Keys of a set. Digits and letters are commands only where nothing is being typed.

const STEP_WINDOW = 8; // CSS px of a drag that one press of an arrow stands for
const STEP_PAN = 24;
const STEP_ZOOM = 1.2;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * What a key does, as a function, or null.
 *
 * event: keydown. act: the commands of a set. ratingPane: the pane whose ratings have the focus, or -1.
 */
export function findCommand(event, act, ratingPane) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return null;
  if (event.target.matches('input[type="text"]')) return findTypingCommand(event, act);
  const arrow = ARROWS[event.key];
  if (arrow && event.shiftKey) return () => act.pan(arrow[0] * STEP_PAN, arrow[1] * STEP_PAN);
  if (arrow) return ratingPane >= 0 ? null : () => act.drag(arrow[0] * STEP_WINDOW, arrow[1] * STEP_WINDOW);
  if (event.key === "+" || event.key === "=") return () => act.zoom(STEP_ZOOM);
  if (event.key === "-" || event.key === "_") return () => act.zoom(1 / STEP_ZOOM);
  if (event.repeat) return null;
  const digit = readDigit(event);
  if (digit) return ratingPane >= 0 ? () => act.rateByKey(ratingPane, digit) : () => act.pickByKey(digit);
  if (event.key === "Enter") return findEnter(event, act);
  const named = {
    "?": act.help, i: act.invert, r: act.reset, f: act.fullScreen, l: act.link, e: act.enlarge, c: act.write,
    escape: act.leave, pageup: () => act.flip(-1), pagedown: () => act.flip(1),
  };
  return named[event.key.toLowerCase()] ?? null;
}

// The row of digits by its place, so that it needs no shift on a keyboard that has letters there.
function readDigit(event) {
  if (event.key === "?") return 0;
  const found = /^(?:Digit|Numpad)([1-9])$/.exec(event.code) ?? /^([1-9])$/.exec(event.key);
  return found ? Number(found[1]) : 0;
}

// Enter presses a focused button, as everywhere, but one that is pressed already lets it go on to the next set.
function findEnter(event, act) {
  const button = event.target.closest("button");
  if (button && !(button.matches(".pick") && button.getAttribute("aria-pressed") === "true")) return null;
  return act.next;
}

function findTypingCommand(event, act) {
  return event.key === "Enter" || event.key === "Escape" ? act.stopWriting : null;
}
