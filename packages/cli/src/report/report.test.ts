import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { lineChart, movingAverage } from './chart';
import { htmlReport } from './html';
import { imageGrid } from './image-grid';

const flat = (side: number, rgb: [number, number, number]) =>
  Float32Array.from({ length: side * side * 3 }, (_, i) => rgb[i % 3]!);

describe('imageGrid', () => {
  const drawn = async (png: Buffer) => {
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    const at = (x: number, y: number) => [
      ...data.subarray((y * info.width + x) * info.channels).subarray(0, 3),
    ];
    /** Pixels darker than paper in a rectangle: text, where there is no picture. */
    const ink = (x: number, y: number, width: number, height: number) => {
      let dark = 0;
      for (let j = y; j < y + height; j++) {
        for (let i = x; i < x + width; i++) dark += at(i, j)[0]! < 128 ? 1 : 0;
      }
      return dark;
    };
    return { at, ink, info };
  };

  it('shows every image at its place, its reward and its prompt below', async () => {
    const cells = [
      { caption: 'a <red> & "blue" pair', images: [flat(8, [1, 0, 0]), flat(8, [0, 0, 1])], rewards: [0, 1] },
      { caption: 'green', images: [flat(8, [0, 1, 0])] },
    ];
    const { at, ink } = await drawn(await imageGrid(cells, { side: 8, columns: 2, shownSide: 32 }));
    expect(at(10 + 16, 10 + 16)).toEqual([255, 0, 0]);
    expect(at(10 + 34 + 16, 10 + 16)).toEqual([0, 0, 255]);
    const second = 10 + 66 + 10;
    expect(at(second + 16, 10 + 16)).toEqual([0, 255, 0]);
    const bar = 10 + 32 + 2;
    const [lost, won] = [at(10 + 16, bar), at(10 + 34 + 16, bar)] as [number[], number[]];
    expect(lost[0]).toBeGreaterThan(lost[1]!);
    expect(won[1]).toBeGreaterThan(won[0]!);
    expect(ink(10, bar + 5, 32, 12)).toBeGreaterThan(5); // the first reward
    expect(ink(second, bar + 5, 32, 12)).toBe(0); // the cell without rewards
    expect(ink(10, bar + 20, 66, 12)).toBeGreaterThan(20); // the prompt
    expect(ink(second, bar + 20, 66, 12)).toBeGreaterThan(10);
  });

  it('keeps the shape of images that are not square, and colours rewards beyond 0 … 1 by their range', async () => {
    const wide = Float32Array.from({ length: 4 * 8 * 3 }, () => 0);
    const cells = [-3, 5].map((reward) => ({ caption: '', images: [wide], rewards: [reward] }));
    const { at, info } = await drawn(
      await imageGrid(cells, { side: 8, height: 4, columns: 2, shownSide: 32 }),
    );
    expect(info.height).toBe(10 + 16 + 20 + 10);
    expect(at(10, 10 + 15)).toEqual([0, 0, 0]);
    expect(at(12, 10 + 18)).toEqual([210, 60, 60]);
    expect(at(10 + 32 + 10 + 2, 10 + 18)).toEqual([30, 160, 60]);
  });

  it('names an image of the wrong size', async () => {
    await expect(imageGrid([{ caption: '', images: [flat(4, [0, 0, 0])] }], { side: 8 })).rejects.toThrow(
      /8 × 8 × 3/,
    );
  });
});

describe('lineChart', () => {
  it('draws what sharp can read, a constant series too', async () => {
    const svg = lineChart(
      [
        {
          name: 'reward <mean>',
          color: 'red',
          points: [
            [0, 1],
            [1, 1],
            [2, 1],
          ],
        },
      ],
      {
        title: 'Reward & more',
        xLabel: 'epoch',
      },
    );
    const { width } = await sharp(Buffer.from(svg)).metadata();
    expect(width).toBe(640);
    expect(svg).not.toContain('NaN');
  });

  it('says which chart has nothing to draw', () => {
    const ends = (points: [number, number][]) => [
      ...lineChart([{ name: 'a', color: '#246', points }], { title: '', xLabel: '' }).matchAll(
        /text-anchor="(\w+)">8000</g,
      ),
    ];
    // It would be cut in the middle of the edge.
    expect(
      ends([
        [0, 0],
        [8000, 1],
      ]).map(([, anchor]) => anchor),
    ).toEqual(['end']);
    expect(
      ends([
        [0, 0],
        [9000, 1],
      ]).map(([, anchor]) => anchor),
    ).toEqual(['middle']);
    expect(() => lineChart([], { title: 'Advantages', xLabel: '' })).toThrow(/'Advantages'/);
  });

  it('averages over a moving window', () => {
    expect(movingAverage([1, 2, 3, 4], 2)).toEqual([1, 1.5, 2.5, 3.5]);
  });
});

it('writes pages in which text stays text', () => {
  const page = htmlReport('A & B', [
    { title: 'Table', header: ['kind', 'n'], rows: [['<script>', '1']] },
    { title: 'Words', text: 'x < y' },
  ]);
  expect(page).toContain('&lt;script&gt;');
  expect(page).not.toContain('<script>');
});
