/** The results as a table of plain text. */
import { ENGINES, type Measurement } from '../reporting';
import type { Results } from './results';

const HEADINGS = ['case', 'ours ms', 'torch ms', 'compiled ms', 'jax ms', 'torch / ours', 'jax / ours'];

/** One line a case, engines side by side, the ratios last. */
export function table({ measurements, failures }: Results): string {
  const names = [...new Set(measurements.map((each) => each.case.replace(/Compiled$/, '')))];
  const timed = names.filter((name) => timeOf(measurements, name).some((ms) => ms !== undefined));
  const rows = timed.map((name) => {
    const [ours, torch, jax, compiled] = timeOf(measurements, name);
    const over = (ms: number | undefined) => (ours && ms ? (ms / ours).toFixed(2) : '–');
    return [name, shown(ours), shown(torch), shown(compiled), shown(jax), over(torch), over(jax)];
  });
  const widths = HEADINGS.map((heading, i) => Math.max(heading.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ');
  const failed = failures.map(({ engine, section, reason }) => `${engine}: ${section} failed: ${reason}`);
  return [line(HEADINGS), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line), ...failed].join(
    '\n',
  );
}

/** Milliseconds of a case by engine, and of its compiled variant in PyTorch. */
function timeOf(measurements: readonly Measurement[], name: string): (number | undefined)[] {
  const find = (engine: string, wanted: string) =>
    measurements.findLast((each) => each.engine === engine && each.case === wanted)?.ms;
  return [...ENGINES.map((engine) => find(engine, name)), find('torch', `${name}Compiled`)];
}

const shown = (ms: number | undefined) =>
  ms === undefined ? '–' : ms < 10 ? ms.toPrecision(3) : ms.toFixed(1);
