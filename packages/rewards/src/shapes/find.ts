import { COLORS, type ColorName, DEFAULT_SHAPES, OUTLINES, PALETTE, type Shape } from '@flow-grpo/datasets';
import { type Components, findComponents, type Patch } from './components';
import type { Pixels } from './pixels';

/** Something found in an image; lengths as a fraction of the image's longer side. */
export interface FoundShape {
  /** Null when no outline fits well enough. */
  shape: Shape | null;
  /** Null when the inside is not of one colour. */
  color: ColorName | null;
  x: number;
  y: number;
  /** Radius of the circle of the same area. */
  radius: number;
  /** Overlap (intersection over union) with the best outline, in [0, 1]. */
  fit: number;
  /** Share of the inside that has the most frequent colour, in [0, 1]. */
  purity: number;
}

export interface FindOptions {
  /** Outlines to tell apart; default circle, square, triangle, star. */
  shapes?: readonly Shape[];
  /** Share of the inside that must be of one colour; default 0.85. */
  minPurity?: number;
  /** Overlap with the outline that makes a shape; default 0.82. */
  minFit?: number;
  /** Patches below this fraction of the image are dirt; default 0.004. */
  minArea?: number;
}

const palette = COLORS.map((name) => PALETTE[name]);

/** Finds the shapes of one image, in the order of their first pixel from the top. */
export function findShapes(pixels: Pixels, options: FindOptions = {}): FoundShape[] {
  const { shapes = DEFAULT_SHAPES, minPurity = 0.85, minFit = 0.82, minArea = 0.004 } = options;
  const components = findComponents(pixels);
  const smallest = minArea * pixels.width * pixels.height;
  return components.patches.flatMap((patch, i) => {
    if (patch.area < smallest) return [];
    const ink = readInk(pixels, components, patch, i + 1);
    const cover = coverage(pixels, components, patch, i + 1, ink.mean);
    const { shape, fit } = matchOutline(cover, shapes);
    const side = Math.max(pixels.width, pixels.height);
    const found: FoundShape = {
      shape: fit >= minFit ? shape : null,
      color: ink.purity >= minPurity ? ink.color : null,
      x: (cover.x + cover.left + 0.5) / side,
      y: (cover.y + cover.top + 0.5) / side,
      radius: Math.sqrt(cover.area / Math.PI) / side,
      fit,
      purity: ink.purity,
    };
    return [found];
  });
}

interface Ink {
  color: ColorName;
  purity: number;
  mean: [number, number, number];
}

/**
 * The colour of a patch, read away from its edge, where paint and paper mix (red on white passes through
 * pink); how far away grows with the resolution, as blur does. Thin patches are read nearer to the edge.
 */
function readInk({ data, width, height }: Pixels, { labels }: Components, patch: Patch, label: number): Ink {
  const deepest = Math.max(1, Math.round(Math.max(width, height) / 64));
  for (let depth = deepest; depth >= 0; depth--) {
    const votes = new Int32Array(palette.length);
    const mean: [number, number, number] = [0, 0, 0];
    let count = 0;
    for (let y = patch.top; y <= patch.bottom; y++) {
      for (let x = patch.left; x <= patch.right; x++) {
        const at = y * width + x;
        if (labels[at] !== label) continue;
        if (depth > 0) {
          if (x - patch.left < depth || patch.right - x < depth) continue;
          if (y - patch.top < depth || patch.bottom - y < depth) continue;
          if (labels[at - depth] !== label || labels[at + depth] !== label) continue;
          if (labels[at - depth * width] !== label || labels[at + depth * width] !== label) continue;
        }
        const r = data[3 * at]!;
        const g = data[3 * at + 1]!;
        const b = data[3 * at + 2]!;
        votes[nearestColor(r, g, b)]!++;
        mean[0] += r;
        mean[1] += g;
        mean[2] += b;
        count++;
      }
    }
    if (depth > 0 && count < 6) continue;
    const best = votes.indexOf(Math.max(...votes));
    return {
      color: COLORS[best]!,
      purity: votes[best]! / count,
      mean: [mean[0] / count, mean[1] / count, mean[2] / count],
    };
  }
  throw new Error('findShapes: an empty patch');
}

function nearestColor(r: number, g: number, b: number): number {
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let k = 0; k < palette.length; k++) {
    const [pr, pg, pb] = palette[k]!;
    const distance = (r - pr) ** 2 + (g - pg) ** 2 + (b - pb) ** 2;
    if (distance < least) {
      least = distance;
      best = k;
    }
  }
  return best;
}

/** How much of each pixel a patch covers, in a window one pixel larger than it. */
interface Coverage {
  values: Float32Array;
  width: number;
  height: number;
  left: number;
  top: number;
  area: number;
  /** Centroid within the window. */
  x: number;
  y: number;
}

/** Unmixes paint and paper, so that moments and overlaps are exact to a fraction of a pixel. */
function coverage(
  { data, width, height }: Pixels,
  { labels, paper }: Components,
  patch: Patch,
  label: number,
  mean: [number, number, number],
): Coverage {
  const left = Math.max(0, patch.left - 1);
  const top = Math.max(0, patch.top - 1);
  const right = Math.min(width - 1, patch.right + 1);
  const bottom = Math.min(height - 1, patch.bottom + 1);
  const w = right - left + 1;
  const h = bottom - top + 1;
  const values = new Float32Array(w * h);
  const axis = paper.map((channel, i) => channel - mean[i]!) as [number, number, number];
  const length = axis[0] ** 2 + axis[1] ** 2 + axis[2] ** 2 + 1e-9;
  const own = (x: number, y: number) =>
    x >= patch.left &&
    x <= patch.right &&
    y >= patch.top &&
    y <= patch.bottom &&
    labels[y * width + x] === label;
  let area = 0;
  let sumX = 0;
  let sumY = 0;
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const at = y * width + x;
      const mine = labels[at] === label;
      if (!mine && labels[at] !== 0) continue;
      const around =
        Number(own(x - 1, y)) + Number(own(x + 1, y)) + Number(own(x, y - 1)) + Number(own(x, y + 1));
      let value = 1;
      if (!mine || around < 4) {
        if (!mine && around === 0) {
          if (!own(x - 1, y - 1) && !own(x + 1, y - 1) && !own(x - 1, y + 1) && !own(x + 1, y + 1)) continue;
        }
        const along =
          (paper[0] - data[3 * at]!) * axis[0] +
          (paper[1] - data[3 * at + 1]!) * axis[1] +
          (paper[2] - data[3 * at + 2]!) * axis[2];
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

/**
 * Draws each outline with the patch's area and centre, turned to the phase of the patch's own moment of that
 * symmetry, and keeps the one that overlaps best.
 */
function matchOutline(cover: Coverage, shapes: readonly Shape[]): { shape: Shape; fit: number } {
  const radius = Math.sqrt(cover.area / Math.PI);
  const turns = new Map<number, number>();
  let best = { shape: shapes[0]!, fit: -1 };
  for (const shape of shapes) {
    const { fold, distance } = OUTLINES[shape];
    if (!turns.has(fold)) turns.set(fold, phase(cover, fold));
    const turn = turns.get(fold)! - uprightPhase(shape);
    const fit = overlap(cover, distance, radius, fold === 0 ? 0 : turn);
    if (fit > best.fit) best = { shape, fit };
  }
  return best;
}

/** Angle of the patch's `fold`-fold moment Σ a·r²·e^{i·fold·θ}, divided by the fold. */
function phase({ values, width, height, x: cx, y: cy }: Coverage, fold: number): number {
  if (fold === 0) return 0;
  let re = 0;
  let im = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = values[y * width + x]!;
      if (value === 0) continue;
      const dx = x - cx;
      const dy = y - cy;
      const square = dx * dx + dy * dy;
      if (square === 0) continue;
      // (dx + i·dy)^fold / r^fold · r²
      let pr = 1;
      let pi = 0;
      for (let k = 0; k < fold; k++) [pr, pi] = [pr * dx - pi * dy, pr * dy + pi * dx];
      const weight = value * square ** (1 - fold / 2);
      re += weight * pr;
      im += weight * pi;
    }
  }
  return Math.atan2(im, re) / fold;
}

const upright = new Map<Shape, number>();

/** The phase the outline itself has at rotation 0. */
function uprightPhase(shape: Shape): number {
  const known = upright.get(shape);
  if (known !== undefined) return known;
  const { distance, fold, bound } = OUTLINES[shape];
  const side = 65;
  const step = (2 * bound) / (side - 1);
  const values = Float32Array.from({ length: side * side }, (_, i) =>
    distance((i % side) * step - bound, Math.floor(i / side) * step - bound) < 0 ? 1 : 0,
  );
  const middle = (side - 1) / 2;
  const drawn = { values, width: side, height: side, left: 0, top: 0, area: 0, x: middle, y: middle };
  const angle = phase(drawn, fold);
  upright.set(shape, angle);
  return angle;
}

const CONTRAST = 2; // steepens soft edges on both sides, so that a blurred patch is not blamed for its blur
const steep = (value: number) => Math.min(1, Math.max(0, CONTRAST * (value - 0.5) + 0.5));

function overlap(
  { values, width, height, x: cx, y: cy }: Coverage,
  distance: (x: number, y: number) => number,
  radius: number,
  turn: number,
): number {
  const cosine = Math.cos(turn) / radius;
  const sine = Math.sin(turn) / radius;
  const stride = Math.max(1, Math.floor(Math.max(width, height) / 40));
  let both = 0;
  let either = 0;
  for (let y = 0; y < height; y += stride) {
    for (let x = 0; x < width; x += stride) {
      const dx = x - cx;
      const dy = y - cy;
      const signed = distance(dx * cosine + dy * sine, dy * cosine - dx * sine) * radius;
      const drawn = steep(0.5 - signed);
      const seen = steep(values[y * width + x]!);
      both += Math.min(drawn, seen);
      either += Math.max(drawn, seen);
    }
  }
  return both / (either + 1e-9);
}
