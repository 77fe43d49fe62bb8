import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { lineChart, movingAverage } from './chart';
import { htmlReport } from './html';
import { imageGrid } from './image-grid';

const flat = (side: number, rgb: [number, number, number]) =>
  Float32Array.from({ length: side * side * 3 }, (_, i) => rgb[i % 3]!);

describe('imageGrid', () => {
  it('shows every image at its place with its verdict below', async () => {
    const cells = [
      { caption: 'a <red> & "blue" pair', images: [flat(8, [1, 0, 0]), flat(8, [0, 0, 1])], rewards: [0, 1] },
      { caption: 'green', images: [flat(8, [0, 1, 0])] },
    ];
    const png = await imageGrid(cells, { side: 8, columns: 2, shownSide: 32 });
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    const at = (x: number, y: number) => [
      ...data.subarray((y * info.width + x) * info.channels).subarray(0, 3),
    ];
    expect(at(10 + 16, 10 + 20 + 16)).toEqual([255, 0, 0]);
    expect(at(10 + 34 + 16, 10 + 20 + 16)).toEqual([0, 0, 255]);
    expect(at(10 + 2 * 34 + 10 + 16, 10 + 20 + 16)).toEqual([0, 255, 0]);
    const [lost, won] = [at(10 + 16, 10 + 20 + 34), at(10 + 34 + 16, 10 + 20 + 34)] as [number[], number[]];
    expect(lost[0]).toBeGreaterThan(lost[1]!);
    expect(won[1]).toBeGreaterThan(won[0]!);
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
