/** From runs to the lines of a chart. */
import type { Line } from '@flow-grpo/page-components/chart';
import type { RunData } from '../run-data';
import { smoothed } from './insight';

/** A run with what tells it from the others on the page. */
export interface ShownRun {
  readonly run: RunData;
  /** Its place among the page's runs; colours follow it. */
  readonly place: number;
}

/** What epochs are counted in. */
export type XAxis = 'epoch' | 'images' | 'hours';

export const X_LABELS: Record<XAxis, string> = { epoch: 'epoch', images: 'images', hours: 'hours' };

/** Colours repeat after so many runs. */
const COLORS = 6;

export const colorOf = (place: number) => `--run-${place % COLORS}`;

export function xOf(run: RunData, axis: XAxis): readonly (number | null)[] {
  if (axis === 'epoch') return run.metrics.epoch ?? [];
  if (axis === 'images') return run.metrics.samples ?? [];
  let sum = 0;
  return (run.metrics.seconds ?? []).map((seconds) => {
    sum += seconds ?? 0;
    return sum / 3600;
  });
}

/** Lines smoothed, with what was measured behind all of them; `smoothing` 0 leaves them as they are. */
export const smoothedLines = (lines: readonly Line[], smoothing: number): Line[] =>
  smoothing === 0
    ? [...lines]
    : [
        ...lines.map((line) => ({ ...line, faint: true })),
        ...lines.map((line) => ({ ...line, y: smoothed(line.y, smoothing) })),
      ];

/** The number `name` of each run over its epochs, smoothed, with what was measured behind it. */
export function metricLines(runs: readonly ShownRun[], name: string, axis: XAxis, smoothing: number): Line[] {
  const lines = runs.flatMap(({ run, place }) => {
    const y = run.metrics[name];
    if (!y?.some((value) => value !== null)) return [];
    return [{ label: runs.length > 1 ? run.name : name, x: xOf(run, axis), y, color: colorOf(place) }];
  });
  return smoothedLines(lines, smoothing);
}

/** The reward of evaluations, at the epochs after which they were. */
export function evaluationLines(runs: readonly ShownRun[], axis: XAxis): Line[] {
  return runs.flatMap(({ run, place }) => {
    if (run.evaluations.length === 0) return [];
    const xs = xOf(run, axis);
    const placeOf = new Map((run.metrics.epoch ?? []).map((epoch, i) => [epoch, i] as const));
    // An evaluation after n epochs lies at the end of epoch n − 1.
    const x = run.evaluations.map(({ epoch }) => {
      if (axis === 'epoch') return epoch;
      return epoch === 0 ? 0 : (xs[placeOf.get(epoch - 1) ?? -1] ?? null);
    });
    const label = runs.length > 1 ? `${run.name}, held-out` : 'held-out';
    const y = run.evaluations.map(({ reward }) => reward);
    return [
      { label, x, y, color: runs.length > 1 ? colorOf(place) : '--run-1', dashed: true, dots: y.length < 40 },
    ];
  });
}
