/** How many times as fast as the PyTorch reference, as a bar chart in SVG. */
import { escapeHtml } from '@flow-grpo/page-components/document';
import type { Results } from './results';

const TITLE = 'Speed relative to the PyTorch reference';
const WIDTH = 640;
const LEFT = 90;
const ROW = 64;
const BAR = 18;
const TOP = 56;

interface Bar {
  readonly label: string;
  readonly value: number;
  readonly colour: string;
}

/** A chart of the results' ratios; an empty one says that nothing was compared. */
export function plot({ ratios, ratiosToJax, machine, date, workload }: Results): string {
  const kinds = Object.keys(ratios) as (keyof typeof ratios)[];
  const most = Math.max(1, ...kinds.map((kind) => ratios[kind]!)) * 1.12;
  const x = (value: number) => LEFT + ((WIDTH - LEFT - 60) * value) / most;
  const height = TOP + Math.max(1, kinds.length) * ROW + 24;
  const rows = kinds.flatMap((kind, i) => {
    const top = TOP + i * ROW;
    const ours = ratios[kind]!;
    const jax = ratiosToJax[kind];
    const bars: Bar[] = [
      { label: 'PyTorch eager', value: 1, colour: '#b8bec8' },
      ...(jax ? [{ label: 'JAX', value: ours / jax, colour: '#7fa7d6' }] : []),
      { label: 'flow-grpo', value: ours, colour: '#d9663b' },
    ];
    return [
      text(LEFT - 10, top + (bars.length * BAR) / 2 + 5, kind, 'end', 14),
      ...bars.flatMap(({ label, value, colour }, j) => [
        `<rect x="${LEFT}" y="${top + j * BAR}" width="${(x(value) - LEFT).toFixed(1)}" height="${BAR - 3}" fill="${colour}"/>`,
        text(x(value) + 6, top + j * BAR + 12, `${value.toFixed(1)} × ${label}`, 'start', 11),
      ]),
    ];
  });
  const subtitle = `${machine.gpu ?? machine.cpu}, ${date.slice(0, 10)}${workload === 'tiny' ? ', tiny sizes' : ''}`;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif">`,
    `<title>${TITLE}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    text(20, 24, TITLE, 'start', 16),
    text(20, 42, kinds.length ? subtitle : `${subtitle}: no reference was measured`, 'start', 12),
    ...rows,
    '</svg>',
  ].join('\n')}\n`;
}

const text = (x: number, y: number, content: string, anchor: 'start' | 'end', size: number) =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" font-size="${size}" text-anchor="${anchor}" fill="#222">${escapeHtml(content)}</text>`;
