/** What a run leaves behind besides its pictures: the tuned model, ready to be loaded, and its numbers. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import type { EpochMetrics, Evaluation, GrpoConfig, Params } from '@flow-grpo/grpo-trainer';
import { parseWordVocabulary } from '@flow-grpo/showo2-model';
import { saveShowo2 } from '@flow-grpo/showo2-model/node';
import { stringify } from 'yaml';
import { type Accuracy, accuracies, type Example, type Habits } from './evaluation';
import type { QuickstartOptions } from './options';
import type { SmallModel } from './small-model';

export interface Outcome {
  options: QuickstartOptions;
  config: GrpoConfig;
  prompts: readonly Example[];
  before: Evaluation & { habits: Habits };
  after: Evaluation & { habits: Habits };
  history: readonly EpochMetrics[];
}

/** The numbers of a run, as `result.json` holds them. */
export interface Result {
  options: QuickstartOptions;
  backend: string;
  epochs: number;
  /** Training images. */
  images: number;
  /** Seconds of training, evaluations and compilation of the first epoch left out, and of everything since the start. */
  trainingSeconds: number;
  totalSeconds: number;
  imagesPerSecond: number;
  /** Most memory the process ever held, bytes. */
  peakMemory: number;
  before: Measured;
  after: Measured;
  /** Why training ended before its time, if it did. */
  problem?: string;
}

export interface Measured {
  /** Mean reward of the held-out prompts. */
  reward: number;
  /** Share of images that show exactly what was asked for: all, then each kind. */
  strict: Accuracy[];
  habits: Habits;
}

export function resultOf(
  { options, prompts, before, after, history }: Outcome,
  run: Pick<Result, 'backend' | 'totalSeconds' | 'problem'>,
): Result {
  const measured = (evaluation: Outcome['before']): Measured => ({
    reward: evaluation.reward,
    strict: accuracies(prompts, evaluation),
    habits: evaluation.habits,
  });
  const seconds = trainingSeconds(history);
  const steady = steadyEpochs(history);
  const images = history.at(-1)?.samples ?? 0;
  return {
    options,
    ...run,
    epochs: history.length,
    images,
    trainingSeconds: seconds,
    imagesPerSecond: ((images / Math.max(1, history.length)) * steady.length) / Math.max(seconds, 1e-9),
    peakMemory: process.resourceUsage().maxRSS * 1024,
    before: measured(before),
    after: measured(after),
  };
}

/** The first epoch compiles. */
const steadyEpochs = (history: readonly EpochMetrics[]) => (history.length > 1 ? history.slice(1) : history);

export const trainingSeconds = (history: readonly EpochMetrics[]): number =>
  steadyEpochs(history).reduce((sum, metrics) => sum + metrics.seconds!, 0);

/**
 * Writes `tuned/`, a Show-o2 folder with the tuned weights in it, the held-out prompts as GenEval has them, and
 * `run.yaml`, with which `flow-grpo eval` measures the tuned model again. Returns the paths.
 */
export async function saveTuned(
  folder: string,
  model: SmallModel,
  tuned: Params,
  { options, prompts, config }: Pick<Outcome, 'options' | 'prompts' | 'config'>,
): Promise<string[]> {
  const target = join(folder, 'tuned');
  const heldOut = join(folder, 'held-out.jsonl');
  const runFile = join(folder, 'run.yaml');
  const file = join(options.model, 'vocabulary.json');
  const vocabulary = parseWordVocabulary(JSON.parse(await readFile(file, 'utf8')), file);
  makeFolder(target);
  await saveShowo2(target, { ...model, params: { ...model.params, ...tuned } }, { vocabulary });
  const lines = prompts.map(({ prompt, metadata }) => `${JSON.stringify({ ...metadata, prompt })}\n`);
  await writeFile(heldOut, lines.join(''));
  const { epochs, ...rest } = config;
  const run = {
    ...rest,
    output: join(folder, 'continued'),
    setup: {
      kind: 'showo2',
      model: target,
      dtype: 'float32',
      dataset: heldOut,
      evalDataset: heldOut,
      reward: { shapes: 1 },
    },
  };
  const heading = '# The tuned model and the prompts it never saw, for: npx flow-grpo eval run.yaml\n';
  await writeFile(runFile, heading + stringify(run));
  return [target, runFile];
}
