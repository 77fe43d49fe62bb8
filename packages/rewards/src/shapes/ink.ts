import { COLORS, type ColorName, PALETTE } from '@flow-grpo/datasets';
import type { Components, Patch } from './components';
import type { Pixels } from './pixels';

/** The paint of a patch. */
export interface Ink {
  /** The palette's colour that most of the inside is nearest to. */
  color: ColorName;
  /** Share of the inside that has that colour, in [0, 1]. */
  purity: number;
  /** Mean of the inside. */
  mean: [number, number, number];
}

const palette = Float64Array.from(COLORS.flatMap((name) => [...PALETTE[name]]));
const FEW = 6; // fewer pixels inside than this say nothing

/**
 * Reads the colour of a patch away from its edge, where paint and paper mix (red on white passes through
 * pink); how far away grows with the resolution, as blur does. Thin patches are read nearer to the edge.
 *
 * @param label of the patch in the components
 */
export function readInk(pixels: Pixels, components: Components, patch: Patch, label: number): Ink {
  const deepest = Math.max(1, Math.round(Math.max(pixels.width, pixels.height) / 64));
  for (let depth = deepest; depth > 0; depth--) {
    const ink = readInside(pixels, components.labels, patch, label, depth);
    if (ink.count >= FEW) return ink;
  }
  return readInside(pixels, components.labels, patch, label, 0);
}

/** Reads the pixels whose neighbours at a distance of `depth` along both axes belong to the patch too. */
function readInside(
  { data, width }: Pixels,
  labels: Int32Array,
  patch: Patch,
  label: number,
  depth: number,
): Ink & { count: number } {
  const votes = new Int32Array(COLORS.length);
  let count = 0;
  let red = 0;
  let green = 0;
  let blue = 0;
  const down = depth * width;
  for (let y = patch.top + depth; y <= patch.bottom - depth; y++) {
    for (let at = y * width + patch.left + depth; at <= y * width + patch.right - depth; at++) {
      if (labels[at] !== label) continue;
      if (labels[at - depth] !== label || labels[at + depth] !== label) continue;
      if (labels[at - down] !== label || labels[at + down] !== label) continue;
      const r = data[3 * at]!;
      const g = data[3 * at + 1]!;
      const b = data[3 * at + 2]!;
      votes[nearestColor(r, g, b)]!++;
      red += r;
      green += g;
      blue += b;
      count++;
    }
  }
  let best = 0;
  for (let k = 1; k < votes.length; k++) if (votes[k]! > votes[best]!) best = k;
  return {
    color: COLORS[best]!,
    purity: votes[best]! / count,
    mean: [red / count, green / count, blue / count],
    count,
  };
}

function nearestColor(r: number, g: number, b: number): number {
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let k = 0, at = 0; at < palette.length; k++, at += 3) {
    const dr = r - palette[at]!;
    const dg = g - palette[at + 1]!;
    const db = b - palette[at + 2]!;
    const distance = dr * dr + dg * dg + db * db;
    if (distance < least) {
      least = distance;
      best = k;
    }
  }
  return best;
}
