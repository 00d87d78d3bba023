// Where things lie: the panes on the page, and the image in a pane. Nothing here draws.

export const MOST_ZOOM = 20;
export const GAP = 8;
const SIDE = { rated: 252, plain: 160 }; // width of the controls beside an image, CSS px
const ROW = 48; // height of a row of controls below an image, CSS px

/**
 * The arrangement in which the images are largest.
 *
 * width, height: of the place for all panes, CSS px. count: panes. aspect: width of an image by its height.
 * ratingSteps: 0 without ratings. ratio: device pixels for a CSS px. All panes get one size, whole in device pixels,
 * so that no image is resampled otherwise than its neighbour.
 */
export function arrangePanes({ width, height, count, aspect, ratingSteps, ratio }) {
  const side = ratingSteps ? SIDE.rated : SIDE.plain;
  let best = null;
  for (const columns of count === 4 ? [2, 4] : [count]) {
    const rows = count / columns;
    const cellWidth = whole((width - GAP * (columns - 1)) / columns, ratio);
    const cellHeight = whole((height - GAP * (rows - 1)) / rows, ratio);
    for (const beside of [true, false]) {
      const oneRow = !ratingSteps || cellWidth >= 132 + ratingSteps * 40;
      const below = beside ? 0 : oneRow ? ROW : 2 * ROW;
      const imageWidth = whole(cellWidth - (beside ? side : 0), ratio);
      const imageHeight = whole(cellHeight - below, ratio);
      const shown = Math.min(imageWidth, imageHeight * aspect);
      const found = { columns, rows, beside, oneRow, cellWidth, cellHeight, imageWidth, imageHeight, shown };
      if (best === null || shown > best.shown) best = found;
    }
  }
  const words = best.beside && best.imageHeight >= 96 + ratingSteps * 44;
  return { ...best, words };
}

function whole(length, ratio) {
  return Math.max(Math.floor(length * ratio), 1) / ratio;
}

/** A view of the whole image: its middle in the pane's middle, as large as fits. */
export function wholeView() {
  return { x: 0.5, y: 0.5, zoom: 1 };
}

/** Where the image lies in the pane: scale and left upper corner, in device pixels of the canvas. */
export function placeImage(view, canvas, image) {
  const scale = Math.min(canvas.width / image.width, canvas.height / image.height) * view.zoom;
  return {
    scale,
    left: Math.round(canvas.width / 2 - view.x * image.width * scale),
    top: Math.round(canvas.height / 2 - view.y * image.height * scale),
  };
}

/** The view after a zoom by `factor` that keeps the image's point under (x, y), device pixels of the canvas, in place. */
export function zoomAt(view, { x, y, factor }, canvas, image) {
  const before = fit(canvas, image) * view.zoom;
  const zoom = Math.min(Math.max(view.zoom * factor, 1), MOST_ZOOM);
  const after = fit(canvas, image) * zoom;
  const [right, down] = [x - canvas.width / 2, y - canvas.height / 2];
  return clampView({
    ...view,
    x: view.x + (right / before - right / after) / image.width,
    y: view.y + (down / before - down / after) / image.height,
    zoom,
  });
}

/** The view after the image was dragged by (right, down), device pixels of the canvas. */
export function panBy(view, { right, down }, canvas, image) {
  const scale = fit(canvas, image) * view.zoom;
  return clampView({ ...view, x: view.x - right / scale / image.width, y: view.y - down / scale / image.height });
}

function fit(canvas, image) {
  return Math.min(canvas.width / image.width, canvas.height / image.height);
}

// The middle of a pane always shows some of the image: nobody can lose it.
function clampView(view) {
  return { ...view, x: Math.min(Math.max(view.x, 0), 1), y: Math.min(Math.max(view.y, 0), 1) };
}
