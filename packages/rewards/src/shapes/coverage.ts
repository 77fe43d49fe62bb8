import type { Components, Patch } from './components';
import type { Pixels } from './pixels';

/** How much of each pixel a patch covers, in a window one pixel larger than it. */
export interface Coverage {
  /** In [0, 1], row by row. */
  values: Float32Array;
  width: number;
  height: number;
  /** Place of the window in the image. */
  left: number;
  top: number;
  /** Sum of the values. */
  area: number;
  /** Centroid within the window. */
  x: number;
  y: number;
}

/**
 * Unmixes paint and paper, so that moments and overlaps are exact to a fraction of a pixel. Pixels inside the
 * patch count in full, whatever their colour.
 *
 * @param mean colour of the patch's inside
 */
export function coverage(
  { data, width, height }: Pixels,
  { labels, paper }: Components,
  patch: Patch,
  label: number,
  mean: readonly [number, number, number],
): Coverage {
  const left = Math.max(0, patch.left - 1);
  const top = Math.max(0, patch.top - 1);
  const right = Math.min(width - 1, patch.right + 1);
  const bottom = Math.min(height - 1, patch.bottom + 1);
  const w = right - left + 1;
  const h = bottom - top + 1;
  const values = new Float32Array(w * h);
  const axisR = paper[0] - mean[0];
  const axisG = paper[1] - mean[1];
  const axisB = paper[2] - mean[2];
  const length = axisR ** 2 + axisG ** 2 + axisB ** 2 + 1e-9;
  let area = 0;
  let sumX = 0;
  let sumY = 0;
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const at = y * width + x;
      const mine = labels[at] === label;
      if (!mine && labels[at] !== 0) continue;
      const west = x > 0 ? 1 : 0;
      const east = x < width - 1 ? 1 : 0;
      const up = y > 0 ? width : 0;
      const down = y < height - 1 ? width : 0;
      const around =
        Number(west === 1 && labels[at - 1] === label) +
        Number(east === 1 && labels[at + 1] === label) +
        Number(up > 0 && labels[at - up] === label) +
        Number(down > 0 && labels[at + down] === label);
      let value = 1;
      if (!mine || around < 4) {
        if (!mine && around === 0) {
          const corner =
            labels[at - up - west] === label ||
            labels[at - up + east] === label ||
            labels[at + down - west] === label ||
            labels[at + down + east] === label;
          if (!corner) continue;
        }
        const along =
          (paper[0] - data[3 * at]!) * axisR +
          (paper[1] - data[3 * at + 1]!) * axisG +
          (paper[2] - data[3 * at + 2]!) * axisB;
        value = Math.min(1, Math.max(0, along / length));
      }
      values[(y - top) * w + x - left] = value;
      area += value;
      sumX += value * (x - left);
      sumY += value * (y - top);
    }
  }
  return { values, width: w, height: h, left, top, area, x: sumX / area, y: sumY / area };
}
