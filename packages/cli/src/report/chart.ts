/** Line charts as SVG text, for pictures in files; pages draw theirs with uPlot. */
import { escapeHtml } from '@flow-grpo/page-components/document';

export interface Series {
  readonly name: string;
  /** Points (x, y) in order of x. */
  readonly points: readonly (readonly [number, number])[];
  readonly color: string;
  /** Draws the points alone, small and pale: for noisy measurements beside their average. */
  readonly dots?: boolean;
}

export interface ChartOptions {
  readonly title: string;
  readonly xLabel: string;
  readonly width?: number;
  readonly height?: number;
  /** Range of y; by default that of the points. */
  readonly yRange?: readonly [number, number];
}

const MARGIN = { left: 56, right: 16, top: 40, bottom: 44 };

/** A chart of one or more series over a common axis, with its legend. Throws when there is no point to draw. */
export function lineChart(series: readonly Series[], options: ChartOptions): string {
  const points = series.flatMap((one) => one.points);
  if (points.length === 0) throw new Error(`lineChart: '${options.title}' has no points`);
  const xRange = spread(points.map(([x]) => x));
  const yRange = options.yRange ?? spread(points.map(([, y]) => y));
  return chart(series, xRange, yRange, options, (px, py) =>
    series.map(({ points: own, color, dots }) =>
      dots
        ? own
            .map(([x, y]) => `<circle cx="${px(x)}" cy="${py(y)}" r="2" fill="${color}" opacity="0.35"/>`)
            .join('')
        : `<polyline fill="none" stroke="${color}" stroke-width="2" points="${own.map(([x, y]) => `${px(x)},${py(y)}`).join(' ')}"/>`,
    ),
  );
}

/** Axes, title and legend around what `draw` gives; it gets the scales from values to pixels. */
function chart(
  legend: readonly { readonly name: string; readonly color: string }[],
  [x0, x1]: readonly [number, number],
  [y0, y1]: readonly [number, number],
  { title, xLabel, width = 640, height = 320 }: ChartOptions,
  draw: (px: (x: number) => number, py: (y: number) => number) => string[],
): string {
  const plotWidth = width - MARGIN.left - MARGIN.right;
  const plotHeight = height - MARGIN.top - MARGIN.bottom;
  const px = (x: number) => round(MARGIN.left + ((x - x0) / (x1 - x0)) * plotWidth);
  const py = (y: number) => round(MARGIN.top + (1 - (y - y0) / (y1 - y0)) * plotHeight);
  const grid = ticks(y0, y1).map(
    (y) =>
      `<line x1="${MARGIN.left}" x2="${width - MARGIN.right}" y1="${py(y)}" y2="${py(y)}" stroke="#e3e6ea"/>` +
      `<text x="${MARGIN.left - 8}" y="${py(y) + 4}" text-anchor="end">${label(y)}</text>`,
  );
  const foot = ticks(x0, x1).map((x) => {
    // The last one ends at the edge where half of it would be beyond.
    const beyond = px(x) + 4 * label(x).length + 2 > width;
    return `<text x="${beyond ? width - 1 : px(x)}" y="${height - MARGIN.bottom + 18}" text-anchor="${beyond ? 'end' : 'middle'}">${label(x)}</text>`;
  });
  const names = legend.map(
    ({ name, color }, i) =>
      `<rect x="${MARGIN.left + i * 170}" y="26" width="10" height="10" fill="${color}"/>` +
      `<text x="${MARGIN.left + 14 + i * 170}" y="35">${escapeHtml(name)}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="#333">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    `<text x="${MARGIN.left}" y="18" font-size="14" font-weight="bold">${escapeHtml(title)}</text>`,
    ...names,
    ...grid,
    ...foot,
    `<text x="${MARGIN.left + plotWidth / 2}" y="${height - 8}" text-anchor="middle">${escapeHtml(xLabel)}</text>`,
    ...draw(px, py),
    '</svg>',
  ].join('\n');
}

/** Averages over the last `window` values, so that a trend shows through noise. */
export function movingAverage(values: readonly number[], window: number): number[] {
  let sum = 0;
  return values.map((value, i) => {
    sum += value - (i >= window ? values[i - window]! : 0);
    return sum / Math.min(i + 1, window);
  });
}

/** Lowest and highest value, never equal. */
function spread(values: readonly number[]): [number, number] {
  const low = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return high > low ? [low, high] : [low - 0.5, high + 0.5];
}

/** About five round numbers between two values. */
function ticks(low: number, high: number): number[] {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough)!;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

const label = (value: number) => String(Number(value.toPrecision(6)));
const round = (value: number) => Math.round(value * 100) / 100;
