/** The run file of `examples/pickscore-4gpu` as its script runs it, on all GPUs and on one, with random checkpoints. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EpochMetrics } from '@flow-grpo/grpo-trainer';
import { cluster } from '@flow-grpo/tfjs-backend-xla';
import { makeSetup, progressLine, readRunFile, trainRun, useBackend } from 'flow-grpo';
import { readLines } from 'flow-grpo/logging';
import { peakMemory, startDevice } from '../device';
import { runInner } from '../inner';
import { machineFacts } from '../machine';
import { writeClip, writeShowo2 } from '../model/checkpoints';
import { placeOfProcess } from '../processes';
import { type Measurement, report } from '../reporting';
import { inTemporaryFolder } from '../temporary';
import { summary } from '../timing';
import type { Workload } from '../workload';

/** The first compiles. A run of all parameters, which says less about speed, has one less. */
const EPOCHS = 3;
/** Devices where there is no GPU. */
const VIRTUAL = 2;
const allDevices = () => Number(machineFacts().gpus ?? VIRTUAL);
const WORDS = ['a', 'photo', 'of', 'the', 'red', 'green', 'blue', 'cat', 'house', 'tree', 'on', 'under'];

interface Variant {
  readonly epochs: number;
  /** Prompts of an epoch for each device; the run file has 16 for four. */
  readonly prompts: number;
  /** Share of a rollout's images that a gradient pass takes. */
  readonly share: number;
  readonly overrides: readonly string[];
  /** All of them by default. */
  readonly devices?: number;
}

const HEAD: Variant = { epochs: EPOCHS, prompts: 4, share: 1, overrides: [] };
const VARIANTS: Readonly<Record<string, Variant>> = {
  one: { ...HEAD, devices: 1 },
  all: HEAD,
  /** As `all`, in two processes with a GPU each; and both shorter in images, for equality. */
  hosts: HEAD,
  agreeOne: { ...HEAD, epochs: EPOCHS + 2 },
  agreeHosts: { ...HEAD, epochs: EPOCHS + 2 },
  /** The run of `all` once more, for one epoch: another process, with every program in its cache. */
  resumed: { ...HEAD, epochs: EPOCHS + 1 },
  allParameters: {
    epochs: EPOCHS - 1,
    prompts: 1,
    share: 0.5,
    overrides: ['setup.train=[all]', 'shardParameters=true', 'training.stepsPerPass=1'],
  },
  /** Adapters on the layers of the head, whose other weights train in `one`. */
  lora: { ...HEAD, devices: 1, overrides: ['setup.train={ lora: { rank: 32 } }'] },
  /** Adapters on every layer of the language model and the head. */
  loraEverywhere: {
    epochs: EPOCHS - 1,
    prompts: 1,
    share: 0.5,
    devices: 1,
    overrides: [
      'setup.train={ lora: { rank: 32, targets: [showo.model.layers*_proj, diffusion_head_a*_proj] } }',
      'training.stepsPerPass=1',
    ],
  },
};

/** Every run is a process of its own, as the script is: it has the GPUs' memory to itself, as much as users give it. */
export const recipe = (): Promise<void> =>
  inTemporaryFolder(async (folder) => {
    const devices = allDevices();
    const runOf = await runner(folder);
    const one = Number((await runOf('one')).imagesPerSecond);
    if (devices === 1) return;
    const all = Number((await runOf('all')).imagesPerSecond);
    report('recipe.efficiency', { devices, share: all / (devices * one) });
    await runOf('resumed');
  });

/** All parameters train, split over all devices. */
export const recipeAllParameters = (): Promise<void> =>
  inTemporaryFolder(async (folder) => {
    const runOf = await runner(folder);
    await runOf('allParameters');
  });

/** Adapters beside the whole head, on one device: memory and speed. */
export const recipeLora = (): Promise<void> =>
  inTemporaryFolder(async (folder) => {
    const runOf = await runner(folder);
    for (const variant of ['one', 'lora', 'loraEverywhere']) await runOf(variant);
  });

/** Runs a variant on files that it makes first. The first run of each kind compiles all of its programs. */
async function runner(folder: string): Promise<(variant: string) => Promise<Measurement>> {
  const env = { FLOW_GRPO_XLA_CACHE: join(folder, 'programs') };
  await runInner('recipeFiles', { folder, env, limit: 200 });
  return async (variant) => {
    const [run] = await runInner(`recipeRun:${variant}`, { folder, env, limit: 400 });
    return run!;
  };
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
  const { devices = allDevices(), epochs, prompts, share, overrides } = VARIANTS[variant]!;
  const resumed = variant === 'resumed';
  const output = join(folder, `run-${resumed ? 'all' : variant}`);
  const model = join(folder, 'show-o2');
  const { batch } = workload;
  const images = 2 * batch * prompts * devices; // two batches a device for each prompt, as in the file
  const run = await readRunFile(recipeFile(), [
    `output=${output}`,
    `devices=${devices}`,
    `epochs=${epochs}`,
    `saveEvery=${epochs}`,
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
  const place = placeOfProcess();
  await useBackend('xla', devices, place);
  const line = progressLine();
  const started = performance.now();
  const setup = await makeSetup(run.setup, { onMessage: line.note });
  const loadSeconds = (performance.now() - started) / 1000;
  const startedTraining = performance.now();
  await trainRun(run, setup, { resume: resumed ? 'auto' : false, group: cluster() }, line);
  const trainingSeconds = (performance.now() - startedTraining) / 1000;
  line.end();
  if (place && place.processId !== 0) return;
  const seen = await readLines<EpochMetrics>(join(output, 'metrics.jsonl'));
  const own = resumed ? seen.slice(EPOCHS) : seen;
  const warm = seen.slice(1, resumed ? EPOCHS : undefined);
  const times = summary(warm.map(({ seconds }) => 1000 * seconds!));
  const median = (name: string) => summary(warm.map((metrics) => Number(metrics[name]))).ms;
  const firstEpoch = own[0]!.seconds!;
  const common = { devices, images, loadSeconds, trainingSeconds, ...peakMemory() };
  if (resumed) {
    const secondsFirstEpochWarm = firstEpoch - times.ms / 1000;
    report('recipe.resumed', { ...common, firstEpochSeconds: firstEpoch, secondsFirstEpochWarm });
    return;
  }
  report(`recipe.${variant}`, {
    ...times,
    ...common,
    imagesPerSecond: (1000 * images) / times.ms,
    firstEpochSeconds: firstEpoch,
    secondsFirstEpochCold: firstEpoch - times.ms / 1000,
    secondsRollout: median('secondsRollout'),
    secondsReward: median('secondsReward'),
    secondsUpdate: median('secondsUpdate'),
    mfu: median('mfu'),
    reward: median('reward'),
    gradNorm: median('gradNorm'),
    losses: seen.map(({ loss }) => loss ?? null),
    maxLogProbMismatch: median('maxLogProbMismatch'),
  });
}

/** Beside the bundle's folder in the repository. */
function recipeFile(): string {
  const file = fileURLToPath(new URL('../../examples/pickscore-4gpu/pickscore.yaml', import.meta.url));
  if (!existsSync(file))
    throw new Error(`${file} is not there; run the bundle where it was made, benchmarks/.bundle`);
  return file;
}
