/** The axes of a chart: what range they show, and where and how their ticks are labelled. */
import type uPlot from 'uplot';
import { figure } from './numbers';

/** The range of a column of increasing numbers. */
export const rangeOf = (x: readonly number[]): [number, number] => {
  const [low = 0, high = 1] = [x[0], x.at(-1)];
  return high > low ? [low, high] : [low - 0.5, low + 0.5];
};

/** With the digits that tell it from the next one, `step` away. */
export function tickText(tick: number, step: number): string {
  if (!(step >= 1e-6) || Math.abs(tick) >= 1e6 || (tick !== 0 && Math.abs(tick) < 1e-3)) return figure(tick);
  return String(Number(tick.toFixed(Math.max(0, 1 - Math.floor(Math.log10(step))))));
}

/** Multiples of a round number; of constants alone their value. */
export function ticksOf(self: uPlot, _: number, low: number, high: number, step: number): number[] {
  const ends = self.series.slice(1).flatMap(({ show, min, max }) => (show ? [min, max] : []));
  const known = ends.filter((value): value is number => typeof value === 'number');
  const [least, most] = [Math.min(...known), Math.max(...known)];
  if (known.length > 0 && isConstant(least, most)) return [least];
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: Math.max(0, count) }, (__, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Rounding is no change. */
const isConstant = (low: number, high: number) =>
  high - low <= 1e-9 * Math.max(Math.abs(low), Math.abs(high));

/** A tenth of room above and below; a constant lies in the middle, of a range of its own size. */
export function linearRange(_: uPlot, low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null) return [0, 1];
  const size = isConstant(low, high) ? Math.abs(low) * 0.1 || 1 : (high - low) * 0.08;
  return [low - size, high + size];
}

/** Powers of ten around what is positive; the rest of a column cannot be drawn. */
export function logRange(self: uPlot): uPlot.Range.MinMax {
  let [low, high] = [Number.POSITIVE_INFINITY, 0];
  for (const column of self.data.slice(1)) {
    for (const value of column) {
      if (typeof value !== 'number' || value <= 0) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (high === 0) return [0.1, 1];
  const [from, to] = [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high))];
  return from < to ? [from, to] : [from / 10, to * 10];
}
