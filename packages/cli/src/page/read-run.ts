/** Reads the folder of a run, finished or under way, as the page shows it. */

import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { detectHacking, type EpochMetrics } from '@flow-grpo/grpo-trainer';
import { type Outcome, readOutcome } from '../logging/outcome';
import type { EvaluationRecord, HistogramRecord, PromptList } from '../logging/run-log';
import { withoutPaths } from './paths';
import { plannedEpochs, watchOptions } from './run-config';
import type { EvaluationData, HistogramData, RunData, RunNews } from './run-data';
import { readEvaluations, readHistograms, readMetrics, readPromptList } from './run-records';

export interface ReadRunOptions {
  /** The address by which the page finds a file of the run's folder; the same as in the folder by default. */
  readonly address?: (file: string, record: EvaluationRecord) => string;
}

/** Histograms shown of a run; they are thinned where there are more. */
const MAX_HISTOGRAMS = 120;

/**
 * The run in a folder: one without any epoch yet has empty columns.
 *
 * @throws when there is no such folder, and when a file holds other than a run's records, naming it.
 */
export async function readRun(
  folder: string,
  { address = (file) => file }: ReadRunOptions = {},
): Promise<RunData> {
  const [epochs, evaluations, histograms, config, outcome] = await Promise.all([
    readMetrics(folder),
    readEvaluations(folder),
    readHistograms(folder),
    readFile(join(folder, 'config.json'), 'utf8').catch(() => null),
    readOutcome(folder),
  ]);
  const prompts = new PromptTable();
  const lists = new Map<string, PromptList>();
  for (const { all } of evaluations) {
    if (all && !lists.has(all.prompts)) {
      const list = await readPromptList(folder, all.prompts);
      if (list) lists.set(all.prompts, list);
    }
  }
  return {
    name: basename(resolve(folder)),
    plannedEpochs: plannedEpochs(config),
    config: config && withoutPaths(config),
    hacking: hackingSigns(epochs, config),
    outcome: outcome ? pathless(outcome) : null,
    metrics: columnsOf(epochs),
    evaluations: evaluations.map((record) => evaluationData(record, prompts, lists, address)),
    prompts: prompts.texts,
    kinds: prompts.kinds,
    histograms: histogramData(histograms),
  };
}

/** What of a run an open page lacks that has all of it before epoch `from`. */
export function newsSince(run: RunData, from: number): RunNews {
  const first = run.metrics.epoch!.findIndex((epoch) => epoch! >= from);
  const start = first < 0 ? run.metrics.epoch!.length : first;
  return {
    ...run,
    from,
    metrics: Object.fromEntries(
      Object.entries(run.metrics).map(([name, values]) => [name, values.slice(start)]),
    ),
    evaluations: run.evaluations.filter(({ epoch }) => epoch >= from),
  };
}

/** Distinct prompts, each with its place. */
class PromptTable {
  readonly texts: string[] = [];
  readonly kinds: (string | null)[] = [];
  private readonly places = new Map<string, number>();

  placeOf(prompt: string, kind: string | null = null): number {
    const known = this.places.get(prompt);
    if (known !== undefined) {
      this.kinds[known] ??= kind;
      return known;
    }
    this.places.set(prompt, this.texts.length);
    this.kinds.push(kind);
    return this.texts.push(prompt) - 1;
  }
}

function evaluationData(
  record: EvaluationRecord,
  prompts: PromptTable,
  lists: ReadonlyMap<string, PromptList>,
  address: NonNullable<ReadRunOptions['address']>,
): EvaluationData {
  const { epoch, reward, details, samples, all } = record;
  const list = all && lists.get(all.prompts);
  return {
    epoch,
    reward: short(reward),
    details: Object.fromEntries(Object.entries(details).map(([name, value]) => [name, short(value)])),
    ...(samples && {
      samples: {
        ...samples,
        file: address(samples.file.split(/[\\/]/).map(encodeURIComponent).join('/'), record),
        prompts: samples.prompts.map((prompt) => prompts.placeOf(prompt)),
        rewards: samples.rewards.map(short),
        ...(samples.changes && { changes: samples.changes.map(short) }),
      },
    }),
    ...(all &&
      list && {
        scores: {
          prompts: list.prompts.map((prompt, i) => prompts.placeOf(prompt, list.kinds[i] ?? null)),
          rewards: all.rewards.map(short),
        },
      }),
  };
}

function columnsOf(epochs: readonly EpochMetrics[]): Record<string, (number | null)[]> {
  const names = new Set(['epoch', ...epochs.flatMap((record) => Object.keys(record))]);
  return Object.fromEntries([...names].map((name) => [name, epochs.map((record) => short(record[name]))]));
}

function histogramData(records: readonly HistogramRecord[]): HistogramData[] {
  const every = Math.max(1, Math.ceil(records.length / MAX_HISTOGRAMS));
  return records
    .filter((_, i) => i % every === 0 || i === records.length - 1)
    .map(({ epoch, advantages = null, rewards = null }) => ({ epoch, advantages, rewards }));
}

const pathless = ({ reason, problem }: Outcome): Outcome => ({
  reason,
  ...(problem !== undefined && { problem: withoutPaths(problem) }),
});

/** What the watch on reward hacking says of a run; null where it has nothing to look at. */
function hackingSigns(epochs: readonly EpochMetrics[], config: string | null): string[] | null {
  if (!epochs.some((metrics) => Object.keys(metrics).some((name) => name.startsWith('images.')))) return null;
  return detectHacking(epochs, watchOptions(config));
}

/** Six digits are more than a screen shows; what is not finite is null, as in JSON. */
function short(value: number | null | undefined): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? Number(value.toPrecision(6)) : null;
}
