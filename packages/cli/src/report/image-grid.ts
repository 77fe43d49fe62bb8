/** Sample grids as PNG: images with their rewards and their prompt below. */
import { escapeHtml } from '@flow-grpo/page-components/document';
import type { OverlayOptions } from 'sharp';

export interface GridCell {
  /** The prompt, say; wrapped, and cut after three lines. */
  readonly caption: string;
  /** Images side by side in the cell, such as before and after: RGB in [0, 1], [height, side, 3]. */
  readonly images: readonly ArrayLike<number>[];
  /** One per image, shown as a number with a bar: green for the grid's highest, red for its lowest. */
  readonly rewards?: readonly number[];
}

export interface GridOptions {
  /** Pixels across an image. */
  readonly side: number;
  /** Pixels down an image; `side` by default. */
  readonly height?: number;
  /** Default 4. */
  readonly columns?: number;
  /** Width at which an image is shown; default 128. */
  readonly shownSide?: number;
  /** Rewards that are shown red and green; [0, 1] where all lie in it, else the grid's lowest and highest. */
  readonly rewardRange?: readonly [number, number];
}

const GAP = 10;
const BAR = 4;
const FONT = 11;
const LINE = 14;
const MAX_LINES = 3;
/** Mean width of a letter of the sans-serif font, as a share of its size. */
const LETTER = 0.55;

/** Draws the cells row by row and returns the PNG's bytes. */
export async function imageGrid(cells: readonly GridCell[], options: GridOptions): Promise<Buffer> {
  const { side, height: rows = side, columns = 4, shownSide = 128 } = options;
  if (cells.length === 0) throw new Error('imageGrid: no cells to draw');
  const shownHeight = Math.round((shownSide * rows) / side);
  const across = Math.max(...cells.map((cell) => cell.images.length));
  const inner = across * (shownSide + 2) - 2;
  const captions = cells.map(({ caption }) => wrap(caption, Math.floor(inner / (FONT * LETTER))));
  const rewards = cells.flatMap((cell) => cell.rewards ?? []);
  const range = options.rewardRange ?? rangeOf(rewards);
  const rewardHeight = rewards.length > 0 ? BAR + 2 + LINE : 0;
  const cellHeight =
    shownHeight + rewardHeight + LINE * Math.max(...captions.map(({ length }) => length)) + GAP;
  const used = Math.min(columns, cells.length);
  const width = used * (inner + GAP) + GAP;
  const height = Math.ceil(cells.length / used) * cellHeight + GAP;

  const marks: string[] = [];
  const pictures: OverlayOptions[] = [];
  for (const [i, cell] of cells.entries()) {
    const left = GAP + (i % used) * (inner + GAP);
    const top = GAP + Math.floor(i / used) * cellHeight;
    for (const [j, image] of cell.images.entries()) {
      const x = left + j * (shownSide + 2);
      pictures.push({ input: await picture(image, side, rows, shownSide, shownHeight), left: x, top });
      const reward = cell.rewards?.[j];
      if (reward === undefined) continue;
      const y = top + shownHeight + 1;
      marks.push(
        `<rect x="${x}" y="${y}" width="${shownSide}" height="${BAR}" fill="${verdict(reward, range)}"/>`,
        `<text x="${x}" y="${y + BAR + LINE - 2}" font-weight="bold">${rewardText(reward)}</text>`,
      );
    }
    for (const [n, text] of captions[i]!.entries()) {
      const y = top + shownHeight + rewardHeight + (n + 1) * LINE - 2;
      marks.push(`<text x="${left}" y="${y}">${escapeHtml(text)}</text>`);
    }
  }
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="${FONT}">${marks.join('')}</svg>`;
  const { default: sharp } = await import('sharp');
  return sharp({ create: { width, height, channels: 3, background: 'white' } })
    .composite([{ input: Buffer.from(svg), left: 0, top: 0 }, ...pictures])
    .png()
    .toBuffer();
}

async function picture(
  image: ArrayLike<number>,
  width: number,
  height: number,
  shownWidth: number,
  shownHeight: number,
): Promise<Buffer> {
  if (image.length !== width * height * 3) {
    throw new Error(
      `imageGrid: an image has ${image.length} values where ${height} × ${width} × 3 are expected`,
    );
  }
  const bytes = Uint8Array.from(image, (value) => Math.round(Math.min(1, Math.max(0, value)) * 255));
  // Small images are enlarged pixel by pixel, large ones are averaged.
  const kernel = shownWidth >= width ? 'nearest' : 'lanczos3';
  const { default: sharp } = await import('sharp');
  return sharp(bytes, { raw: { width, height, channels: 3 } })
    .resize(shownWidth, shownHeight, { kernel, fit: 'fill' })
    .png()
    .toBuffer();
}

/** Lines of at most `letters`, broken at blanks; the last one ends in an ellipsis where text is left. */
function wrap(text: string, letters: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= letters)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  const shown = lines.slice(0, MAX_LINES);
  if (lines.length > MAX_LINES) shown[MAX_LINES - 1] = `${shown[MAX_LINES - 1]} …`;
  return shown.map((line) => (line.length > letters ? `${line.slice(0, letters - 1)}…` : line));
}

function rangeOf(rewards: readonly number[]): readonly [number, number] {
  const finite = rewards.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  return low >= 0 && high <= 1 ? [0, 1] : [low, high];
}

const rewardText = (reward: number) =>
  Number.isFinite(reward) ? Number(reward.toPrecision(4)).toString() : '–';

function verdict(reward: number, [low, high]: readonly [number, number]): string {
  const share = high > low ? Math.min(1, Math.max(0, (reward - low) / (high - low))) : 1;
  if (!Number.isFinite(share)) return '#999';
  return `rgb(${Math.round(210 * (1 - share) + 30 * share)}, ${Math.round(60 * (1 - share) + 160 * share)}, 60)`;
}
