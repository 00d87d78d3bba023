// Window and level as DICOM defines them: PS3.3 C.11.2.1.2, the linear function.

export const GRAYS = 255;

/**
 * What each stored level is shown as.
 *
 * centre, width: of the window, in stored levels; width at least 1. bitDepth: 8 or 16. Returns one gray of 0..255 for
 * each of the 2 ** bitDepth levels, rounded half up; inverted: 255 minus it.
 */
export function buildTable({ centre, width, bitDepth, inverted = false }) {
  const table = new Uint8Array(2 ** bitDepth);
  const middle = centre - 0.5;
  const half = (width - 1) / 2;
  for (let level = 0; level < table.length; level += 1) {
    let gray;
    if (level <= middle - half) gray = 0;
    else if (level > middle + half) gray = GRAYS;
    else gray = Math.floor(((level - middle) / (width - 1) + 0.5) * GRAYS + 0.5);
    table[level] = inverted ? GRAYS - gray : gray;
  }
  return table;
}

/**
 * The window after a drag: to the right widens it, downwards raises its centre.
 *
 * right, down: CSS pixels. step: stored levels for one of them. Kept within what the levels can use.
 */
export function dragWindow({ centre, width }, { right, down, step, bitDepth }) {
  const levels = 2 ** bitDepth;
  return {
    centre: Math.min(Math.max(centre + down * step, 0), levels),
    width: Math.min(Math.max(width + right * step, 1), 2 * levels),
  };
}
