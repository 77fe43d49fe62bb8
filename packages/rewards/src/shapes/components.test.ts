import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findComponents, type Patch } from './components';

const INK = 0.1;
const PAPER = 0.95;

/** A picture of ink and paper from rows of `#` and anything else. */
function drawn(rows: readonly string[]) {
  const [width, height] = [rows[0]!.length, rows.length];
  const data = Float32Array.from({ length: 3 * width * height }, (_, i) => {
    const pixel = Math.floor(i / 3);
    return rows[Math.floor(pixel / width)]![pixel % width] === '#' ? INK : PAPER;
  });
  return { data, width, height };
}

/** The same by filling patch after patch, in the order of their first pixels. */
function filled(rows: readonly string[]): { labels: number[]; patches: Patch[] } {
  const [width, height] = [rows[0]!.length, rows.length];
  const labels = new Array<number>(width * height).fill(0);
  const patches: Patch[] = [];
  for (let first = 0; first < labels.length; first++) {
    const patch = { area: 0, left: width, right: -1, top: height, bottom: -1 };
    const open = [first];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      const [x, y] = [at % width, Math.floor(at / width)];
      if (labels[at] !== 0 || rows[y]![x] !== '#') continue;
      labels[at] = patches.length + 1;
      patch.area++;
      patch.left = Math.min(patch.left, x);
      patch.right = Math.max(patch.right, x);
      patch.top = Math.min(patch.top, y);
      patch.bottom = Math.max(patch.bottom, y);
      if (x > 0) open.push(at - 1);
      if (x < width - 1) open.push(at + 1);
      if (y > 0) open.push(at - width);
      if (y < height - 1) open.push(at + width);
    }
    if (patch.area > 0) patches.push(patch);
  }
  return { labels, patches };
}

function check(rows: readonly string[]): void {
  const { labels, patches } = findComponents(drawn(rows));
  const expected = filled(rows);
  expect(Array.from(labels)).toEqual(expected.labels);
  expect(patches).toEqual(expected.patches);
}

describe('findComponents', () => {
  it('joins arms that meet late, corners do not join', () => {
    check(['........', '.#.#.#..', '.#.###..', '.###..#.', '.......#', '........', '........', '........']);
    check(['#######.', '......#.', '.####.#.', '.#..#.#.', '.#.##.#.', '.#....#.', '.######.', '........']);
  });

  it('labels any picture as a flood fill does', () => {
    const pictures = fc
      .tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 }))
      .chain(([width, height]) => {
        const row = fc.string({ unit: fc.constantFrom('#', '.', '.'), minLength: width, maxLength: width });
        return fc.array(row, { minLength: height, maxLength: height });
      });
    // An image needs some paper to be told from ink; without any, a light paper is assumed.
    fc.assert(fc.property(pictures, check), { numRuns: 500 });
  });
});
