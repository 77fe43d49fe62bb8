import type { Pixels } from './pixels';

/** Ink on paper: which pixels differ from the background, and the connected patches they form. */
export interface Components {
  /** Background colour. */
  paper: [number, number, number];
  /** 0 for background, otherwise 1 + the index of the pixel's patch. */
  labels: Int32Array;
  /** In the order of their first pixels, row by row from the top. */
  patches: Patch[];
}

/** A connected patch with its bounding box, both ends included. */
export interface Patch {
  area: number;
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const PAPER_LEVEL = 0.72; // a pixel lighter than this in every channel is taken for paper
const DEFAULT_PAPER: [number, number, number] = [0.94, 0.94, 0.94]; // where an image has next to none
const INK = 0.33; // how far below the paper one channel must lie; the palest colour (pink) lies 0.45 below

/** Separates ink from paper and labels 4-connected patches. */
export function findComponents({ data, width, height }: Pixels): Components {
  const paper = paperColor(data, width * height);
  const runs = inkRuns(data, width, height, paper);
  const labels = new Int32Array(width * height);
  const patches: Patch[] = [];
  const labelOf: number[] = [];
  for (let run = 0; run < runs.starts.length; run++) {
    const first = firstOf(runs.joined, run);
    const start = runs.starts[run]!;
    const end = runs.ends[run]!;
    const top = Math.floor(start / width);
    const left = start - top * width;
    const right = left + end - start - 1;
    if (first === run) {
      patches.push({ area: end - start, left, right, top, bottom: top });
      labelOf[run] = patches.length;
    } else {
      const label = labelOf[first]!;
      labelOf[run] = label;
      const patch = patches[label - 1]!;
      patch.area += end - start;
      if (left < patch.left) patch.left = left;
      if (right > patch.right) patch.right = right;
      patch.bottom = top;
    }
    labels.fill(labelOf[run]!, start, end);
  }
  return { paper, labels, patches };
}

/** Stretches of ink within a row, from `starts` up to (not including) `ends`, in the order of the pixels. */
interface Runs {
  starts: number[];
  ends: number[];
  /** An earlier run (or itself) of the same patch; following it leads to the patch's first run. */
  joined: number[];
}

/** Finds the runs and joins each with those it touches in the row above: a union-find over runs, not pixels. */
function inkRuns(
  data: ArrayLike<number>,
  width: number,
  height: number,
  paper: readonly [number, number, number],
): Runs {
  const [r, g, b] = [paper[0] - INK, paper[1] - INK, paper[2] - INK];
  const starts: number[] = [];
  const ends: number[] = [];
  const joined: number[] = [];
  let above = 0; // the first run of the row above that may still touch one of this row
  for (let y = 0; y < height; y++) {
    const rowStart = starts.length;
    const rowEnd = (y + 1) * width;
    for (let i = y * width; i < rowEnd; i++) {
      if (!(data[3 * i]! < r || data[3 * i + 1]! < g || data[3 * i + 2]! < b)) continue;
      const start = i++;
      while (i < rowEnd && (data[3 * i]! < r || data[3 * i + 1]! < g || data[3 * i + 2]! < b)) i++;
      const run = starts.push(start) - 1;
      ends.push(i);
      joined.push(run);
      while (above < rowStart && ends[above]! <= start - width) above++;
      for (let other = above; other < rowStart && starts[other]! < i - width; other++) {
        const one = firstOf(joined, run);
        const two = firstOf(joined, other);
        joined[Math.max(one, two)] = Math.min(one, two);
      }
    }
    above = rowStart;
  }
  return { starts, ends, joined };
}

/** The first run of the patch that `run` belongs to; shortens the way there. */
function firstOf(joined: number[], run: number): number {
  let at = run;
  while (joined[at] !== at) {
    joined[at] = joined[joined[at]!]!;
    at = joined[at]!;
  }
  return at;
}

function paperColor(data: ArrayLike<number>, pixels: number): [number, number, number] {
  let count = 0;
  let r = 0;
  let g = 0;
  let b = 0;
  for (let at = 0; at < 3 * pixels; at += 3) {
    if (data[at]! <= PAPER_LEVEL || data[at + 1]! <= PAPER_LEVEL || data[at + 2]! <= PAPER_LEVEL) continue;
    r += data[at]!;
    g += data[at + 1]!;
    b += data[at + 2]!;
    count++;
  }
  return count < pixels / 20 ? DEFAULT_PAPER : [r / count, g / count, b / count];
}
