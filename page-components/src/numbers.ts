/** Numbers as pages write them. */

/** Seconds as people say them: `2 h 5 min`, `3 min 20 s`, `2 h`, `0.4 s`. */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${Number(seconds.toPrecision(2))} s`;
  const whole = Math.round(seconds);
  const [days, hours, minutes] = [
    Math.floor(whole / 86_400),
    Math.floor(whole / 3600),
    Math.floor(whole / 60),
  ];
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return minutes % 60 > 0 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

/** A number with the digits that tell it from its neighbours. */
export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

export const signed = (value: number) => (value > 0 ? `+${figure(value)}` : figure(value).replace('-', '−'));

/** `1 epoch`, `2 epochs`. */
export const plural = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`;

/**
 * Digits after the point that show the largest of some values with four digits, so that a column of them lines up; undefined
 * where they are too small or too large for that.
 */
export function decimalsOf(values: readonly (number | null | undefined)[]): number | undefined {
  const known = values.filter(
    (value): value is number => typeof value === 'number' && Number.isFinite(value),
  );
  const largest = known.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (known.every(Number.isInteger) && largest < 1e6) return 0;
  return largest < 1e-2 || largest >= 1e6 ? undefined : Math.max(0, 3 - Math.floor(Math.log10(largest)));
}

/** A number of a column that has `decimals`, by `decimalsOf`. */
export function fixed(value: number | null | undefined, decimals: number | undefined): string {
  if (typeof value !== 'number' || !Number.isFinite(value) || decimals === undefined) return figure(value);
  return value.toFixed(decimals).replace('-', '−');
}

/** The same with its sign. */
export const signedFixed = (value: number, decimals: number | undefined) =>
  value > 0 ? `+${fixed(value, decimals)}` : fixed(value, decimals).replace(/^-/, '−');

/** Mean, standard deviation and range of the values that are numbers; undefined without any. */
export function summaryOf(values: readonly (number | null)[]) {
  const known = values.filter((value): value is number => value !== null);
  if (known.length === 0) return undefined;
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const variance = known.reduce((sum, value) => sum + (value - mean) ** 2, 0) / known.length;
  const [min, max] = [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))];
  return { count: known.length, mean, std: Math.sqrt(variance), min, max };
}
