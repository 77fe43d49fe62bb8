/** The run file of `examples/pickscore-4gpu` as its script runs it, on all GPUs and on one, with random checkpoints. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EpochMetrics } from '@flow-grpo/grpo-trainer';
import { makeSetup, progressLine, readRunFile, trainRun, useBackend } from 'flow-grpo';
import { readLines } from 'flow-grpo/logging';
import { peakMemory, startDevice } from '../device';
import { runInner } from '../inner';
import { machineFacts } from '../machine';
import { writeClip, writeShowo2 } from '../model/checkpoints';
import { report } from '../reporting';
import { inTemporaryFolder } from '../temporary';
import { summary } from '../timing';
import type { Workload } from '../workload';

/** The first compiles. */
const EPOCHS = 3;
/** Devices where there is no GPU. */
const VIRTUAL = 2;
const allDevices = () => Number(machineFacts().gpus ?? VIRTUAL);
const WORDS = ['a', 'photo', 'of', 'the', 'red', 'green', 'blue', 'cat', 'house', 'tree', 'on', 'under'];

interface Variant {
  /** Prompts of an epoch for each device; the run file has 16 for four. */
  readonly prompts: number;
  /** Share of a rollout's images that a gradient pass takes. */
  readonly share: number;
  readonly overrides: readonly string[];
}

const HEAD: Variant = { prompts: 4, share: 1, overrides: [] };
const VARIANTS: Readonly<Record<string, Variant>> = {
  one: HEAD,
  all: HEAD,
  everything: {
    prompts: 1,
    share: 0.5,
    overrides: ['setup.train=[all]', 'shardParameters=true', 'training.stepsPerPass=1'],
  },
};

/** Every run is a process of its own, as the script is: it has the GPUs' memory to itself, as much as users give it. */
export async function recipe(): Promise<void> {
  const devices = allDevices();
  await inTemporaryFolder(async (folder) => {
    await runInner('recipeFiles', { folder, limit: 200 });
    const rate = async (variant: string) => {
      const [run] = await runInner(`recipeRun:${variant}`, { folder, limit: 300 });
      return Number(run!.imagesPerSecond);
    };
    const one = await rate('one');
    if (devices === 1) return;
    const all = await rate('all');
    report('recipe.efficiency', { devices, share: all / (devices * one) });
    await rate('everything');
  });
}

/** What the recipe downloads: a Show-o2 with VAE and tokenizer, a PickScore, prompts. */
export async function recipeFiles(workload: Workload, folder: string): Promise<void> {
  await startDevice();
  const model = join(folder, 'show-o2');
  await writeShowo2(workload, model);
  writeFileSync(join(model, 'vocabulary.json'), JSON.stringify({ type: 'word', words: WORDS }));
  await writeClip(workload, join(folder, 'pickscore'));
  const word = (i: number, k: number) => WORDS[(i * (k + 3) + k * k) % WORDS.length];
  const sentence = (i: number) => Array.from({ length: 9 }, (_, k) => word(i, k)).join(' ');
  const lines = Array.from({ length: 64 }, (_, i) => sentence(i));
  writeFileSync(join(folder, 'prompts.txt'), lines.join('\n')); // none to evaluate with
}

/** One run in this process. */
export async function recipeRun(workload: Workload, folder: string, variant: string): Promise<void> {
  const devices = variant === 'one' ? 1 : allDevices();
  const output = join(folder, `run-${variant}`);
  const model = join(folder, 'show-o2');
  const { batch } = workload;
  const { prompts, share, overrides } = VARIANTS[variant]!;
  const images = 2 * batch * prompts * devices; // two batches a device for each prompt, as in the file
  const run = await readRunFile(recipeFile(), [
    `output=${output}`,
    `devices=${devices}`,
    `epochs=${EPOCHS}`,
    `saveEvery=${EPOCHS}`,
    ...Object.entries({
      model,
      tokenizer: model,
      vae: join(model, 'vae'),
      dataset: join(folder, 'prompts.txt'),
    }).map(([key, value]) => `setup.${key}=${value}`),
    `setup.reward={ pickscore: { model: ${join(folder, 'pickscore')} } }`,
    `sampling.promptsPerEpoch=${prompts * devices}`,
    `sampling.samplesPerPrompt=${2 * batch}`,
    `sampling.batchSize=${batch * devices}`,
    `training.batchSize=${share * batch * devices}`,
    'divergence.action=off',
    ...overrides,
  ]);
  await useBackend('xla', devices);
  const line = progressLine();
  const started = performance.now();
  const setup = await makeSetup(run.setup, { onMessage: line.note });
  const loadSeconds = (performance.now() - started) / 1000;
  await trainRun(run, setup, { resume: false }, line);
  line.end();
  const seen = await readLines<EpochMetrics>(join(output, 'metrics.jsonl'));
  const warm = seen.slice(1);
  const times = summary(warm.map(({ seconds }) => 1000 * seconds!));
  const median = (name: string) => summary(warm.map((metrics) => Number(metrics[name]))).ms;
  report(`recipe.${variant}`, {
    ...times,
    devices,
    images,
    imagesPerSecond: (1000 * images) / times.ms,
    loadSeconds,
    firstEpochSeconds: seen[0]!.seconds,
    secondsRollout: median('secondsRollout'),
    secondsReward: median('secondsReward'),
    secondsUpdate: median('secondsUpdate'),
    reward: median('reward'),
    gradNorm: median('gradNorm'),
    maxLogProbMismatch: median('maxLogProbMismatch'),
    ...peakMemory(),
  });
}

/** Beside the bundle's folder in the repository. */
function recipeFile(): string {
  const file = fileURLToPath(new URL('../../examples/pickscore-4gpu/pickscore.yaml', import.meta.url));
  if (!existsSync(file))
    throw new Error(`${file} is not there; run the bundle where it was made, benchmarks/.bundle`);
  return file;
}
