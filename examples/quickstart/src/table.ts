/** Several runs as one Markdown table. */
import type { Measured, Result } from './outputs';
import { percent } from './report';

/** Rows are what was measured; columns the runs, with `before → after` where both are known. */
export function resultsTable(results: readonly Result[]): string {
  if (results.length === 0) throw new Error('no results to put into a table');
  const kinds = results[0]!.before.strict.map(({ kind }) => kind);
  const change = (what: (measured: Measured) => string) => (result: Result) =>
    `${what(result.before)} → ${what(result.after)}`;
  const strict = (kind: string) =>
    change(({ strict: all }) => percent(all.find((each) => each.kind === kind)!.strict));
  const rows: [string, (result: Result) => string][] = [
    ...kinds.map((kind): [string, (result: Result) => string] => [
      kind === 'all' ? '**all**' : kind.replace('_', ' '),
      strict(kind),
    ]),
    ['variety within a prompt', change(({ habits }) => habits.diversity.toFixed(3))],
    ['most frequent free colour', change(({ habits }) => favourite(habits.colors))],
    ['training images', ({ images }) => images.toLocaleString('en')],
    ['images per second', ({ imagesPerSecond }) => imagesPerSecond.toFixed(0)],
    ['minutes in total', ({ totalSeconds }) => (totalSeconds / 60).toFixed(1)],
    ['peak memory', ({ peakMemory }) => `${(peakMemory / 2 ** 30).toFixed(1)} GiB`],
  ];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(['', ...results.map(({ options }) => `seed ${options.seed}`)]),
    line(['---', ...results.map(() => '---')]),
    ...rows.map(([name, value]) => line([name, ...results.map(value)])),
  ].join('\n');
}

function favourite(colors: Readonly<Record<string, number>>): string {
  const [name, share] = Object.entries(colors).reduce((best, each) => (each[1] > best[1] ? each : best));
  return `${name} ${percent(share)}`;
}
