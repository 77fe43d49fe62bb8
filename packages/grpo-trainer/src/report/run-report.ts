/** The report of a run's folder: curves, grids before and after, throughput and configuration in one page. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type EvaluationRecord, readLines } from '../logging/run-log';
import type { EpochMetrics } from '../train';
import { lineChart, movingAverage } from './chart';
import { htmlReport, type Section } from './html';

const CURVES = ['kl', 'approxKl', 'clipFraction', 'gradNorm', 'loss', 'zeroVarianceShare', 'learningRate'];

/**
 * Reads metrics, evaluations and grids and writes `report.html`, which needs no other file.
 *
 * @returns its path.
 * @throws when the folder has no metrics.
 */
export async function writeRunReport(folder: string): Promise<string> {
  const epochs = await readLines<EpochMetrics>(join(folder, 'metrics.jsonl'));
  const evaluations = await readLines<EvaluationRecord>(join(folder, 'evaluations.jsonl'));
  if (epochs.length === 0) throw new Error(`${folder} has no metrics.jsonl with an epoch in it`);
  const last = epochs.at(-1)!;
  const smooth = movingAverage(
    epochs.map(({ reward }) => reward),
    10,
  );
  const series = [
    {
      name: 'epoch',
      color: '#9ab',
      dots: true,
      points: epochs.map(({ epoch, reward }) => [epoch, reward] as const),
    },
    { name: 'mean of 10', color: '#246', points: epochs.map(({ epoch }, i) => [epoch, smooth[i]!] as const) },
  ];
  if (evaluations.length > 0) {
    const points = evaluations.map(({ epoch, reward }) => [epoch, reward] as const);
    series.push({ name: 'evaluation', color: '#c50', points });
  }
  const sections: Section[] = [
    { title: 'Reward', svg: lineChart(series, { title: 'Reward', xLabel: 'epoch' }) },
    {
      title: 'Numbers',
      header: ['', 'first', 'last'],
      rows: [
        ['evaluation reward', format(evaluations[0]?.reward), format(evaluations.at(-1)?.reward)],
        ['training reward', format(epochs[0]!.reward), format(last.reward)],
        ['images a second', format(epochs[0]!.samplesPerSecond), format(last.samplesPerSecond)],
        ['images', format(epochs[0]!.samples), format(last.samples)],
        ['optimizer steps', format(epochs[0]!.updates), format(last.updates)],
      ],
    },
  ];
  const grids = evaluations.filter(({ grid }) => grid);
  for (const [title, record] of [
    ['Before', grids[0]],
    ['After', grids.length > 1 ? grids.at(-1) : undefined],
  ] as const) {
    const png = record?.grid && (await readFile(join(folder, record.grid)).catch(() => undefined));
    if (png)
      sections.push({
        title: `${title} (epoch ${record.epoch})`,
        png,
        alt: `Samples at epoch ${record.epoch}`,
      });
  }
  for (const name of CURVES) {
    const points = epochs.flatMap((metrics) =>
      Number.isFinite(metrics[name]) ? [[metrics.epoch, metrics[name]!] as const] : [],
    );
    if (points.length === 0) continue;
    sections.push({
      title: name,
      svg: lineChart([{ name, color: '#246', points }], { title: name, xLabel: 'epoch' }),
    });
  }
  const config = await readFile(join(folder, 'config.json'), 'utf8').catch(() => undefined);
  if (config) sections.push({ title: 'Configuration', text: config });
  const file = join(folder, 'report.html');
  await writeFile(file, htmlReport('Flow-GRPO run', sections));
  return file;
}

const format = (value: number | undefined) =>
  value === undefined ? '–' : Number(value.toPrecision(5)).toString();
