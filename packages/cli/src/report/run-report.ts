/** The report of a run's folder: curves, samples before and after, throughput and configuration in one page. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EpochMetrics } from '@flow-grpo/grpo-trainer';
import { readLines } from '../logging/json-lines';
import type { EvaluationRecord, HistogramRecord } from '../logging/run-log';
import { type Bars, histogramChart, lineChart, movingAverage } from './chart';
import { htmlReport, type Section } from './html';
import { imageGrid } from './image-grid';
import { readStrip, type SampleStrip } from './sample-strip';

/** Numbers of an epoch that have a curve of their own, and what they are. */
const CURVES: Readonly<Record<string, string>> = {
  kl: 'KL to the reference',
  approxKl: 'Approximate KL of an epoch, ½·mean (log ratio)²',
  clipFraction: 'Share of ratios outside of the clip range',
  loss: 'Loss',
  gradNorm: 'Gradient norm before clipping',
  zeroVarianceShare: 'Share of prompts whose images all score the same',
  groupRewardStd: 'Standard deviation of rewards within a prompt',
  learningRate: 'Learning rate',
  samplesPerSecond: 'Images a second',
  mfu: 'Model FLOPs utilisation',
};

/** Where an epoch's time goes, by the names of its numbers. */
const PHASES: Readonly<Record<string, string>> = {
  secondsRollout: 'rollout',
  secondsReward: 'waiting for rewards',
  secondsUpdate: 'update',
};

/** The sections of a run's report; none when it has no epoch yet. */
export async function runSections(folder: string): Promise<Section[]> {
  const epochs = await readLines<EpochMetrics>(join(folder, 'metrics.jsonl'));
  const evaluations = await readLines<EvaluationRecord>(join(folder, 'evaluations.jsonl'));
  const histograms = await readLines<HistogramRecord>(join(folder, 'histograms.jsonl'));
  if (epochs.length === 0) return [];
  const sections: Section[] = [
    { title: 'Reward', svg: rewardChart(epochs, evaluations) },
    numbers(epochs, evaluations),
    ...(await samples(folder, evaluations)),
  ];
  for (const [name, title] of Object.entries(CURVES)) {
    const points = finitePoints(epochs, name);
    if (points.length === 0) continue;
    const svg = lineChart([{ name, color: '#246', points }], { title, xLabel: 'epoch' });
    sections.push({ title, svg });
  }
  for (const name of ['advantages', 'rewards'] as const) {
    const bars = firstAndLast(histograms, name);
    if (bars.length > 0) {
      const title = `Histogram of ${name}`;
      sections.push({ title, svg: histogramChart(bars, { title, xLabel: name }) });
    }
  }
  const config = await readFile(join(folder, 'config.json'), 'utf8').catch(() => undefined);
  if (config) sections.push({ title: 'Configuration', text: config });
  return sections;
}

/**
 * Reads metrics, evaluations and samples and writes `report.html`, which needs no other file.
 *
 * @returns its path.
 * @throws when the folder has no metrics.
 */
export async function writeRunReport(folder: string): Promise<string> {
  const sections = await runSections(folder);
  if (sections.length === 0) throw new Error(`${folder} has no metrics.jsonl with an epoch in it`);
  const file = join(folder, 'report.html');
  await writeFile(file, htmlReport('Flow-GRPO run', sections));
  return file;
}

function rewardChart(epochs: readonly EpochMetrics[], evaluations: readonly EvaluationRecord[]): string {
  const smooth = movingAverage(
    epochs.map(({ reward }) => reward),
    10,
  );
  const series = [
    { name: 'epoch', color: '#9ab', dots: true, points: finitePoints(epochs, 'reward') },
    { name: 'mean of 10', color: '#246', points: epochs.map(({ epoch }, i) => [epoch, smooth[i]!] as const) },
  ];
  if (evaluations.length > 0) {
    const points = evaluations.map(({ epoch, reward }) => [epoch, reward] as const);
    series.push({ name: 'evaluation', color: '#c50', points });
  }
  return lineChart(series, { title: 'Reward', xLabel: 'epoch' });
}

function numbers(epochs: readonly EpochMetrics[], evaluations: readonly EvaluationRecord[]): Section {
  const [first, last] = [epochs[0]!, epochs.at(-1)!];
  const warm = epochs.length > 1 ? epochs.slice(1) : epochs; // the first epoch compiles
  const mean = (name: string) => warm.reduce((sum, metrics) => sum + (metrics[name] ?? 0), 0) / warm.length;
  const details = Object.keys(evaluations.at(-1)?.details ?? {});
  const rows = [
    ['evaluation reward', evaluations[0]?.reward, evaluations.at(-1)?.reward],
    ...details.map((name) => [
      `evaluation, ${name}`,
      evaluations[0]?.details[name],
      evaluations.at(-1)?.details[name],
    ]),
    ['training reward', first.reward, last.reward],
    ['images', first.samples, last.samples],
    ['optimizer steps', first.updates, last.updates],
    ['images per second', first.samplesPerSecond, last.samplesPerSecond],
    ['seconds per epoch, mean after the first', undefined, mean('seconds')],
    ...Object.entries(PHASES).map(([name, what]) => [`  of which ${what}`, undefined, mean(name)]),
  ] as [string, number | undefined, number | undefined][];
  return {
    title: 'Numbers',
    header: ['', 'first', 'last'],
    rows: rows.map(([name, a, b]) => [name, format(a), format(b)]),
  };
}

/** The first evaluation's samples beside the last one's, from the same noise. */
async function samples(folder: string, evaluations: readonly EvaluationRecord[]): Promise<Section[]> {
  const drawn = evaluations.filter((record) => record.samples);
  const [first, last] = [drawn[0], drawn.at(-1)];
  if (!first || !last) return [];
  const compared = first === last ? [first] : [first, last];
  const strips = compared.map((record) => record.samples as SampleStrip);
  const images = await Promise.all(strips.map((strip) => readStrip(folder, strip).catch(() => undefined)));
  if (images.some((list) => list === undefined)) return []; // removed by hand, or not written before a kill
  const { width, height, prompts } = strips[0]!;
  const cells = prompts.map((caption, i) => ({
    caption,
    images: images.map((list) => list![i]!),
    rewards: strips.map(({ rewards }) => rewards[i]!),
  }));
  const shownSide = Math.max(96, Math.min(160, width));
  const png = await imageGrid(cells, { side: width, height, shownSide, columns: first === last ? 6 : 3 });
  const title =
    first === last
      ? `Samples (epoch ${first.epoch})`
      : `Before (epoch ${first.epoch}, left) and after (epoch ${last.epoch}, right), from the same noise`;
  return [{ title, png, alt: `Samples with their rewards and prompts: ${prompts.join('; ')}` }];
}

function firstAndLast(records: readonly HistogramRecord[], name: 'advantages' | 'rewards'): Bars[] {
  const found = records.flatMap((record) => {
    const histogram = record[name];
    return histogram ? [{ epoch: record.epoch, histogram }] : [];
  });
  const [first, last] = [found[0], found.at(-1)];
  if (!first || !last) return [];
  const bars = (one: typeof first, color: string): Bars => ({
    name: `epoch ${one.epoch}`,
    color,
    ...one.histogram,
  });
  return first === last ? [bars(last, '#246')] : [bars(first, '#9ab'), bars(last, '#246')];
}

function finitePoints(epochs: readonly EpochMetrics[], name: string): (readonly [number, number])[] {
  return epochs.flatMap((metrics) =>
    Number.isFinite(metrics[name]) ? [[metrics.epoch, metrics[name]!] as const] : [],
  );
}

const format = (value: number | undefined | null) =>
  value === undefined || value === null || Number.isNaN(value)
    ? '–'
    : Number(value.toPrecision(5)).toString();
