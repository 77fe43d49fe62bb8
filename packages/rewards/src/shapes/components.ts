import type { Pixels } from './pixels';

/** Ink on paper: which pixels differ from the background, and the connected patches they form. */
export interface Components {
  /** Background colour. */
  paper: [number, number, number];
  /** 0 for background, otherwise 1 + the index of the pixel's patch. */
  labels: Int32Array;
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
  const [r, g, b] = paper.map((channel) => channel - INK) as [number, number, number];
  const labels = new Int32Array(width * height);
  for (let i = 0, at = 0; i < labels.length; i++, at += 3) {
    if (data[at]! < r || data[at + 1]! < g || data[at + 2]! < b) labels[i] = -1;
  }
  const patches: Patch[] = [];
  const stack = new Int32Array(width * height);
  for (let start = 0; start < labels.length; start++) {
    if (labels[start] !== -1) continue;
    const label = patches.length + 1;
    const patch: Patch = { area: 0, left: width, right: 0, top: height, bottom: 0 };
    let depth = 0;
    const visit = (at: number) => {
      if (labels[at] !== -1) return;
      labels[at] = label;
      stack[depth++] = at;
    };
    visit(start);
    while (depth > 0) {
      const at = stack[--depth]!;
      const y = (at / width) | 0;
      const x = at - y * width;
      patch.area++;
      if (x < patch.left) patch.left = x;
      if (x > patch.right) patch.right = x;
      if (y < patch.top) patch.top = y;
      if (y > patch.bottom) patch.bottom = y;
      if (x > 0) visit(at - 1);
      if (x < width - 1) visit(at + 1);
      if (y > 0) visit(at - width);
      if (y < height - 1) visit(at + width);
    }
    patches.push(patch);
  }
  return { paper, labels, patches };
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
