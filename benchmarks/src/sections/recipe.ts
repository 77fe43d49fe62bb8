/** The run file of `examples/pickscore-4gpu` as its script runs it, on all GPUs and on one, with random checkpoints. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EpochMetrics } from '@flow-grpo/grpo-trainer';
import { cluster, compilationStats, configure } from '@flow-grpo/tfjs-backend-xla';
import { makeSetup, progressLine, readRunFile, trainRun, useBackend } from 'flow-grpo';
import { readJsonLines } from 'flow-grpo/logging';
import { peakMemory, startDevice } from '../device';
import { runInner } from '../inner';
import { machineFacts } from '../machine';
import { writeClip, writeShowo2 } from '../model/checkpoints';
import { placeOfProcess } from '../processes';
import { type Measurement, report } from '../reporting';
import { inKeptFolder, inTemporaryFolder, KEPT_FOLDER } from '../temporary';
import { summary } from '../timing';
import type { Workload } from '../workload';
import { RECIPE_VARIANTS } from './recipe-variants';

/** The first compiles. */
const EPOCHS = 3;
/** Environment variable with the epochs of a part, in place of its own. */
export const EPOCHS_VARIABLE = 'BENCH_EPOCHS';
/** Devices where there is no GPU. */
const VIRTUAL = 2;
export const allDevices = () => Number(machineFacts().gpus ?? VIRTUAL);
const WORDS = ['a', 'photo', 'of', 'the', 'red', 'green', 'blue', 'cat', 'house', 'tree', 'on', 'under'];

interface Variant {
  readonly epochs: number;
  /** Prompts of an epoch for each device; the run file has 16 for four. */
  readonly prompts: number;
  /** Share of a rollout's images that a gradient pass takes. */
  readonly share: number;
  readonly overrides: readonly string[];
  /** On all devices; on one otherwise. */
  readonly onAll?: boolean;
  /** As with the command's `--deterministic`: to be compared bit by bit. */
  readonly deterministic?: boolean;
}

const HEAD: Variant = { epochs: EPOCHS, prompts: 4, share: 1, overrides: [] };
/** Nothing moves the weights: every ratio of every update must be 1. */
const AT_REST = ['training.learningRate=0', 'training.weightDecay=0'];
const VARIANTS: Readonly<Record<string, Variant>> = {
  one: HEAD,
  all: { ...HEAD, onAll: true },
  /** As `all`, in two processes with a GPU each; and both shorter in images, for equality. */
  hosts: { ...HEAD, onAll: true },
  agreeOne: { ...HEAD, epochs: EPOCHS + 2, onAll: true, deterministic: true },
  agreeHosts: { ...HEAD, epochs: EPOCHS + 2, onAll: true, deterministic: true },
  /** As `hosts`, to the epoch that the environment says: killed and resumed, and straight. */
  killed: {
    ...HEAD,
    onAll: true,
    deterministic: true,
    overrides: ['saveEvery=1', 'keepCheckpoints=2'],
  },
  straight: { ...HEAD, onAll: true, deterministic: true },
  /** One epoch with every program in its cache, at learning rate 0. */
  oneAtRest: { ...HEAD, epochs: 1, overrides: AT_REST },
  allAtRest: { ...HEAD, epochs: 1, overrides: AT_REST, onAll: true },
  /** The run of `all` once more, for one epoch: another process, with every program in its cache. */
  resumed: { ...HEAD, epochs: EPOCHS + 1, onAll: true },
  allParameters: {
    epochs: EPOCHS,
    prompts: 1,
    share: 0.5,
    overrides: ['setup.train=[all]', 'shardParameters=true', 'training.stepsPerPass=1'],
    onAll: true,
  },
  /** Adapters on the layers of the head, whose other weights train in `one`. */
  lora: { ...HEAD, overrides: ['setup.train={ lora: { rank: 32 } }'] },
  /** Adapters on every layer of the language model and the head. */
  loraEverywhere: {
    epochs: EPOCHS - 1,
    prompts: 1,
    share: 0.5,
    overrides: [
      'setup.train={ lora: { rank: 32, targets: [showo.model.layers*_proj, diffusion_head_a*_proj] } }',
      'training.stepsPerPass=1',
    ],
  },
  ...Object.fromEntries(
    Object.entries(RECIPE_VARIANTS).map(([name, { overrides }]) => [name, { ...HEAD, epochs: 2, overrides }]),
  ),
};

/** Every run is a process of its own, as the script is: it has the GPUs' memory to itself, as much as users give it. */
export const recipe = async (): Promise<void> => {
  const work = async () => {
    await recipeOne();
    if (allDevices() === 1) return;
    await recipeAll();
    await recipeResumed();
  };
  if (process.env[KEPT_FOLDER]) return work();
  await inTemporaryFolder((folder) => {
    process.env[KEPT_FOLDER] = folder;
    return work();
  });
};

export const recipeOne = (): Promise<void> => inKeptFolder((folder) => runThenAtRest(folder, 'one'));

/** On all devices, beside the run on one where that is known. */
export const recipeAll = (): Promise<void> =>
  inKeptFolder(async (folder) => {
    await runThenAtRest(folder, 'all');
    const [one, all] = [earlier(folder, 'one'), earlier(folder, 'all')];
    const devices = allDevices();
    if (one)
      report('recipe.efficiency', {
        devices,
        share: Number(all!.imagesPerSecond) / (devices * Number(one.imagesPerSecond)),
      });
  });

export const recipeResumed = (): Promise<void> =>
  inKeptFolder(async (folder) => {
    const runOf = await runner(folder);
    if (!earlier(folder, 'all')) await runOf('all');
    await runOf('resumed');
  });

/** All parameters train, split over all devices. */
export const recipeAllParameters = (): Promise<void> =>
  inKeptFolder(async (folder) => {
    const runOf = await runner(folder);
    await runOf('allParameters');
  });

/** Adapters beside the whole head, on one device: memory and speed. */
export const recipeLora = (): Promise<void> =>
  inKeptFolder(async (folder) => {
    const runOf = await runner(folder);
    for (const variant of ['one', 'lora', 'loraEverywhere']) await runOf(variant);
  });

/** One of the rows of the recipe's table. */
export const recipeVariant = (name: string): Promise<void> =>
  inKeptFolder(async (folder) => {
    const runOf = await runner(folder);
    await runOf(name);
  });

/** A run, and one epoch in another process with its programs compiled and at learning rate 0: one case of both. */
async function runThenAtRest(folder: string, variant: 'one' | 'all'): Promise<void> {
  const runOf = await runner(folder);
  const { engine: _, case: name, ...run } = await runOf(variant);
  const { firstEpochSeconds, ratioAtZeroRate, clipFractionAtZeroRate } = await runOf(`${variant}AtRest`);
  const secondsFirstEpochWarm = Number(firstEpochSeconds) - Number(run.ms) / 1000;
  report(name, { ...run, secondsFirstEpochWarm, ratioAtZeroRate, clipFractionAtZeroRate });
}

/** What a run in this folder measured, if there was one. */
export function earlier(folder: string, variant: string): Measurement | undefined {
  const file = join(folder, `${variant}.json`);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Measurement) : undefined;
}

/** The environment of processes that share compiled programs in a folder. */
export const programsIn = (folder: string) => ({ FLOW_GRPO_XLA_CACHE: join(folder, 'programs') });

/** Makes the files of the recipe's runs, where they are not there. */
export async function filesIn(folder: string): Promise<void> {
  if (existsSync(join(folder, 'prompts.txt'))) return;
  await runInner('recipeFiles', { folder, env: programsIn(folder), limit: 200 });
}

/** Runs a variant on files that it makes first. The first run of each kind compiles all of its programs. */
export async function runner(folder: string): Promise<(variant: string) => Promise<Measurement>> {
  const env = programsIn(folder);
  await filesIn(folder);
  return async (variant) => {
    const [run] = await runInner(`recipeRun:${variant}`, { folder, env, limit: 400 });
    writeFileSync(join(folder, `${variant}.json`), JSON.stringify(run));
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

/** What a variant changes in the run file, as the command takes it, on the files that `recipeFiles` left. */
export function overridesOf({ batch }: Workload, folder: string, variant: string): string[] {
  const { prompts, share, overrides, onAll, ...chosen } = VARIANTS[variant]!;
  const epochs = Number(process.env[EPOCHS_VARIABLE] ?? chosen.epochs);
  const devices = onAll ? allDevices() : 1;
  const model = join(folder, 'show-o2');
  return [
    `output=${outputOf(folder, variant)}`,
    `devices=${devices}`,
    `epochs=${epochs}`,
    `saveEvery=${epochs}`,
    ...Object.entries({
      model,
      tokenizer: model,
      vae: join(model, 'vae'),
      dataset: promptsFile(folder, variant, prompts * devices),
    }).map(([key, value]) => `setup.${key}=${value}`),
    `setup.reward={ pickscore: { model: ${join(folder, 'pickscore')} } }`,
    `sampling.promptsPerEpoch=${prompts * devices}`,
    `sampling.samplesPerPrompt=${2 * batch}`,
    `sampling.batchSize=${batch * devices}`,
    `training.batchSize=${share * batch * devices}`,
    'divergence.action=off',
    ...overrides,
  ];
}

const outputOf = (folder: string, variant: string) =>
  join(folder, `run-${variant === 'resumed' ? 'all' : variant}`);

/** One run in this process. */
export async function recipeRun(workload: Workload, folder: string, variant: string): Promise<void> {
  const { deterministic = false } = VARIANTS[variant]!;
  const resumed = variant === 'resumed';
  const output = outputOf(folder, variant);
  const run = await readRunFile(recipeFile(), overridesOf(workload, folder, variant));
  const { devices, sampling } = run.config;
  const images = sampling.promptsPerEpoch * sampling.samplesPerPrompt;
  const place = placeOfProcess();
  // What is compared bit by bit is small, and leaves memory to others.
  configure({ deterministic, preallocate: !deterministic });
  await useBackend('xla', devices, place);
  const line = progressLine();
  const started = performance.now();
  const setup = await makeSetup(run.setup, { onMessage: line.note });
  const loadSeconds = (performance.now() - started) / 1000;
  const startedTraining = performance.now();
  await trainRun(
    run,
    setup,
    { resume: resumed || variant === 'killed' ? 'auto' : false, group: cluster() },
    line,
  );
  const trainingSeconds = (performance.now() - startedTraining) / 1000;
  line.end();
  if (place && place.processId !== 0) return;
  const seen = await readJsonLines<EpochMetrics>(join(output, 'metrics.jsonl'));
  const own = resumed ? seen.slice(EPOCHS) : seen;
  const warm = seen.slice(1, resumed ? EPOCHS : undefined);
  const { secondsCompile, secondsRollout, secondsUpdate, maxRatioDeviation, clipFraction } = own[0]!;
  const firstEpochSeconds = own[0]!.seconds!;
  const { compiled, loadedFromDisk } = compilationStats();
  const programs = { programsCompiled: compiled, programsFromDisk: loadedFromDisk };
  const common = { devices, images, loadSeconds, trainingSeconds, ...programs, ...peakMemory() };
  if (warm.length === 0) {
    report(`recipe.${variant}`, {
      ...common,
      firstEpochSeconds,
      secondsCompile,
      secondsRollout,
      secondsUpdate,
      ratioAtZeroRate: 1 + maxRatioDeviation!,
      clipFractionAtZeroRate: clipFraction,
    });
    return;
  }
  const times = summary(warm.map(({ seconds }) => 1000 * seconds!));
  const median = (name: string) => summary(warm.map((metrics) => Number(metrics[name]))).ms;
  if (resumed) {
    const secondsFirstEpochWarm = firstEpochSeconds - times.ms / 1000;
    report('recipe.resumed', { ...common, firstEpochSeconds, secondsFirstEpochWarm, secondsCompile });
    return;
  }
  const { updatesPerEpoch } = run.config.training;
  report(`recipe.${variant}`, {
    ...times,
    ...common,
    imagesPerSecond: (1000 * images) / times.ms,
    firstEpochSeconds,
    secondsFirstEpochCold: firstEpochSeconds - times.ms / 1000,
    secondsCompile,
    secondsRollout: median('secondsRollout'),
    secondsReward: median('secondsReward'),
    secondsUpdate: median('secondsUpdate'),
    mfu: median('mfu'),
    reward: median('reward'),
    gradNorm: median('gradNorm'),
    losses: seen.map(({ loss }) => loss ?? null),
    // Ratios of an epoch's first update are exactly 1: what is clipped is clipped in the others, here one.
    ...(clipFraction !== undefined &&
      updatesPerEpoch === 2 && { clipFractionUpdate2: 2 * median('clipFraction') }),
    ...(seen[0]!.maxLogProbMismatch !== undefined && { maxLogProbMismatch: median('maxLogProbMismatch') }),
  });
}

/** The prompts of a run: where all parameters train, so few that every epoch repeats them. */
function promptsFile(folder: string, variant: string, perEpoch: number): string {
  const all = join(folder, 'prompts.txt');
  if (variant !== 'allParameters') return all;
  const file = join(folder, 'repeated-prompts.txt');
  writeFileSync(file, readFileSync(all, 'utf8').split('\n').slice(0, perEpoch).join('\n'));
  return file;
}

/** The command's arguments that train the run file with these changes. */
export const trainingArguments = (overrides: readonly string[]): string[] => [
  'train',
  recipeFile(),
  ...overrides.flatMap((override) => ['--set', override]),
];

/** Beside the bundle's folder in the repository. */
function recipeFile(): string {
  const file = fileURLToPath(new URL('../../examples/pickscore-4gpu/pickscore.yaml', import.meta.url));
  if (!existsSync(file))
    throw new Error(`${file} is not there; run the bundle where it was made, benchmarks/.bundle`);
  return file;
}
