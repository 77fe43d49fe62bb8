import { OUTLINES, SHAPES, type Shape } from '@flow-grpo/datasets';
import type { Coverage } from './coverage';

/**
 * Draws each outline with the patch's area and centre, turned to the phase of the patch's own moment of that
 * symmetry, and keeps the one that overlaps best.
 *
 * @returns that outline, and its overlap (intersection over union) in [0, 1]
 */
export function matchOutline(cover: Coverage, shapes: readonly Shape[]): { shape: Shape; fit: number } {
  const turns = phases(cover);
  const best = { shape: shapes[0]!, fit: -1 };
  for (const shape of shapes) {
    const { fold } = OUTLINES[shape];
    const turn = turns[fold]! - uprightPhase(shape);
    const fit = overlap(cover, shape, turn);
    if (fit > best.fit) {
      best.shape = shape;
      best.fit = fit;
    }
  }
  return best;
}

const HIGHEST_FOLD = Math.max(...SHAPES.map((shape) => OUTLINES[shape].fold));

/**
 * The angle of the patch's moment Σ a·r²·e^{i·fold·θ}, divided by the fold, for every fold that an outline has.
 * 0 at fold 0.
 */
function phases({ values, width, height, x: cx, y: cy }: Coverage): Float64Array {
  const re = new Float64Array(HIGHEST_FOLD + 1);
  const im = new Float64Array(HIGHEST_FOLD + 1);
  for (let y = 0, at = 0; y < height; y++) {
    const dy = y - cy;
    for (let x = 0; x < width; x++, at++) {
      const value = values[at]!;
      if (value === 0) continue;
      const dx = x - cx;
      const square = dx * dx + dy * dy;
      if (square === 0) continue;
      const cosine = dx / Math.sqrt(square);
      const sine = dy / Math.sqrt(square);
      let pr = value * square;
      let pi = 0;
      for (let fold = 1; fold <= HIGHEST_FOLD; fold++) {
        const turned = pr * cosine - pi * sine;
        pi = pr * sine + pi * cosine;
        pr = turned;
        re[fold]! += pr;
        im[fold]! += pi;
      }
    }
  }
  return re.map((value, fold) => (fold === 0 ? 0 : Math.atan2(im[fold]!, value) / fold));
}

const known = new Map<Shape, number>();

/** The phase the outline itself has at rotation 0. */
function uprightPhase(shape: Shape): number {
  const before = known.get(shape);
  if (before !== undefined) return before;
  const { distance, fold, bound } = OUTLINES[shape];
  const side = 65;
  const step = (2 * bound) / (side - 1);
  const values = Float32Array.from({ length: side * side }, (_, i) =>
    distance((i % side) * step - bound, Math.floor(i / side) * step - bound) < 0 ? 1 : 0,
  );
  const middle = (side - 1) / 2;
  const drawn = { values, width: side, height: side, left: 0, top: 0, area: 0, x: middle, y: middle };
  const phase = phases(drawn)[fold]!;
  known.set(shape, phase);
  return phase;
}

const CONTRAST = 2; // steepens soft edges on both sides, so that a blurred patch is not blamed for its blur
const SAMPLES = 40; // pixels compared along the longer side of a window, at most twice as many

function steep(value: number): number {
  const steeper = CONTRAST * (value - 0.5) + 0.5;
  return steeper < 0 ? 0 : steeper > 1 ? 1 : steeper;
}

function overlap(
  { values, width, height, x: cx, y: cy, area }: Coverage,
  shape: Shape,
  turn: number,
): number {
  const { distance } = OUTLINES[shape];
  const radius = Math.sqrt(area / Math.PI);
  const cosine = Math.cos(turn) / radius;
  const sine = Math.sin(turn) / radius;
  const stride = Math.max(1, Math.floor(Math.max(width, height) / SAMPLES));
  let both = 0;
  let either = 0;
  for (let y = 0; y < height; y += stride) {
    const dy = y - cy;
    for (let x = 0; x < width; x += stride) {
      const dx = x - cx;
      const drawn = steep(0.5 - radius * distance(dx * cosine + dy * sine, dy * cosine - dx * sine));
      const seen = steep(values[y * width + x]!);
      if (drawn < seen) {
        both += drawn;
        either += seen;
      } else {
        both += seen;
        either += drawn;
      }
    }
  }
  return both / (either + 1e-9);
}
