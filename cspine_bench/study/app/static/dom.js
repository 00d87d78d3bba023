// Elements without markup in strings: what a server or a reader wrote can never become an element.

/** An element with properties, `aria-*`, `data-*` and `role` attributes, `on*` listeners and children. */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "for") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.flat().filter((child) => child !== null));
  return node;
}

/** A button that keeps the focus where it was when a mouse presses it, so that Enter goes on meaning "next". */
export function makeButton(words, properties = {}) {
  return make("button", { type: "button", onmousedown: (event) => event.preventDefault(), ...properties }, words);
}

/** Replace what the page shows, and move the focus to its heading so that a screen reader starts there. */
export function show(...children) {
  const stage = document.getElementById("stage");
  stage.replaceChildren(...children);
  const heading = stage.querySelector("h1");
  if (heading) {
    heading.tabIndex = -1;
    heading.focus();
  }
}

/** Enter or leave full screen; a browser that refuses leaves the page as it is. */
export async function toggleFullScreen() {
  try {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await document.documentElement.requestFullscreen();
  } catch {
    // A browser may forbid it; the viewer works in a window too.
  }
}
