/** Sample grids as PNG: images with a caption above and a coloured verdict below. */
import sharp, { type OverlayOptions } from 'sharp';
import { escapeXml } from './chart';

export interface GridCell {
  readonly caption: string;
  /** Images side by side in the cell, such as before and after: RGB in [0, 1], [side, side, 3]. */
  readonly images: readonly ArrayLike<number>[];
  /** One bar an image: 1 green, 0 red, between them a mixture. */
  readonly rewards?: readonly number[];
}

export interface GridOptions {
  /** Pixels of an image's side. */
  readonly side: number;
  /** Default 4. */
  readonly columns?: number;
  /** Side at which an image is shown; default 128. */
  readonly shownSide?: number;
}

const CAPTION = 20;
const BAR = 5;
const GAP = 10;

/** Draws the cells row by row and returns the PNG's bytes. */
export async function imageGrid(cells: readonly GridCell[], options: GridOptions): Promise<Buffer> {
  const { side, columns = 4, shownSide = 128 } = options;
  if (cells.length === 0) throw new Error('imageGrid: no cells to draw');
  const across = Math.max(...cells.map((cell) => cell.images.length));
  const cellWidth = across * (shownSide + 2) + GAP;
  const cellHeight = CAPTION + shownSide + BAR + GAP;
  const used = Math.min(columns, cells.length);
  const width = used * cellWidth + GAP;
  const height = Math.ceil(cells.length / used) * cellHeight + GAP;

  const marks: string[] = [];
  const pictures: OverlayOptions[] = [];
  for (const [i, cell] of cells.entries()) {
    const left = GAP + (i % used) * cellWidth;
    const top = GAP + Math.floor(i / used) * cellHeight;
    marks.push(`<text x="${left}" y="${top + 13}">${escapeXml(cell.caption)}</text>`);
    for (const [j, image] of cell.images.entries()) {
      const x = left + j * (shownSide + 2);
      pictures.push({ input: await picture(image, side, shownSide), left: x, top: top + CAPTION });
      const reward = cell.rewards?.[j];
      if (reward !== undefined) {
        const y = top + CAPTION + shownSide + 1;
        marks.push(
          `<rect x="${x}" y="${y}" width="${shownSide}" height="${BAR - 1}" fill="${verdict(reward)}"/>`,
        );
      }
    }
  }
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="11">${marks.join('')}</svg>`;
  return sharp({ create: { width, height, channels: 3, background: 'white' } })
    .composite([{ input: Buffer.from(svg), left: 0, top: 0 }, ...pictures])
    .png()
    .toBuffer();
}

function picture(image: ArrayLike<number>, side: number, shownSide: number): Promise<Buffer> {
  if (image.length !== side * side * 3) {
    throw new Error(
      `imageGrid: an image has ${image.length} values where ${side} × ${side} × 3 are expected`,
    );
  }
  const bytes = Uint8Array.from(image, (value) => Math.round(Math.min(1, Math.max(0, value)) * 255));
  return sharp(bytes, { raw: { width: side, height: side, channels: 3 } })
    .resize(shownSide, shownSide, { kernel: 'nearest' })
    .png()
    .toBuffer();
}

function verdict(reward: number): string {
  const share = Math.min(1, Math.max(0, reward));
  return `rgb(${Math.round(210 * (1 - share) + 30 * share)}, ${Math.round(60 * (1 - share) + 160 * share)}, 60)`;
}
