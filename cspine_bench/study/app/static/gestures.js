// Mouse, pen and touch on the images, as in a radiologist's viewer.

/** Listen on the canvases of a viewer. enlarge(pane): called on a double click. */
export function listenToPointers(viewer, enlarge) {
  viewer.canvases.forEach((canvas, pane) => {
    const held = new Map(); // pointers that are down on this canvas: id -> last place

    canvas.addEventListener("pointerdown", (event) => {
      viewer.active = pane;
      viewer.startGesture();
      held.set(event.pointerId, { x: event.clientX, y: event.clientY, button: event.button });
      canvas.setPointerCapture(event.pointerId);
      viewer.changed();
    });
    canvas.addEventListener("pointermove", (event) => {
      const last = held.get(event.pointerId);
      if (!last) return;
      const [right, down] = [event.clientX - last.x, event.clientY - last.y];
      if (held.size === 2) pinch(viewer, pane, held, event, last);
      else if (last.button === 0 && !event.shiftKey) viewer.drag(pane, right, down);
      else viewer.pan(pane, right * ratioOf(canvas), down * ratioOf(canvas));
      held.set(event.pointerId, { ...last, x: event.clientX, y: event.clientY });
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(end, (event) => held.delete(event.pointerId));
    }
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 32 : 1;
        const factor = Math.exp(-Math.min(Math.max(event.deltaY * lines, -240), 240) / 600);
        const { x, y } = placeOf(canvas, event.clientX, event.clientY);
        viewer.zoom(pane, factor, x, y);
      },
      { passive: false },
    );
    canvas.addEventListener("dblclick", () => enlarge(pane));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("mousedown", (event) => {
      if (event.button === 1) event.preventDefault(); // no automatic scrolling
    });
    canvas.addEventListener("focus", () => {
      viewer.active = pane;
      viewer.changed();
    });
  });
}

function pinch(viewer, pane, held, event, last) {
  const [, other] = [...held.entries()].find(([id]) => id !== event.pointerId);
  const before = Math.hypot(last.x - other.x, last.y - other.y);
  const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
  const canvas = viewer.canvases[pane];
  const { x, y } = placeOf(canvas, (event.clientX + other.x) / 2, (event.clientY + other.y) / 2);
  if (before > 0 && after > 0) viewer.zoom(pane, after / before, x, y);
}

function ratioOf(canvas) {
  return canvas.width / canvas.getBoundingClientRect().width;
}

function placeOf(canvas, clientX, clientY) {
  const box = canvas.getBoundingClientRect();
  return { x: (clientX - box.left) * ratioOf(canvas), y: (clientY - box.top) * ratioOf(canvas) };
}
