/** Runs of `examples/pickscore-4gpu`'s run file, with random checkpoints: its variants, their files, and one run of one. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EpochMetrics } from '@flow-grpo/grpo-trainer';
import { listCheckpoints } from '@flow-grpo/grpo-trainer/node';
import { cluster, compilationStats, configure } from '@flow-grpo/tfjs-backend-xla';
import { makeSetup, progressLine, readRunFile, trainRun, useBackend } from 'flow-grpo';
import { readJsonLines } from 'flow-grpo/logging';
import { peakMemory, startDevice } from '../device';
import { machineFacts } from '../machine';
import { writeClip, writeShowo2 } from '../model/checkpoints';
import { placeOfProcess } from '../processes';
import { report } from '../reporting';
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
const ALL_PARAMETERS: Variant = {
  epochs: EPOCHS,
  prompts: 1,
  share: 0.5,
  overrides: ['setup.train=[all]', 'shardParameters=true', 'training.stepsPerPass=1'],
  onAll: true,
};
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
  allParameters: ALL_PARAMETERS,
  /** Its loss measures what is learned: how far the velocity is from that of the best images. */
  allParametersSft: { ...ALL_PARAMETERS, overrides: [...ALL_PARAMETERS.overrides, 'algorithm=sft'] },
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
  let startedSaving: number | undefined;
  await trainRun(
    run,
    setup,
    {
      resume: resumed || variant === 'killed' ? 'auto' : false,
      group: cluster(),
      onProgress: ({ phase }) => {
        if (phase === 'checkpoint') startedSaving = Date.now();
      },
    },
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
  const saved = startedSaving === undefined ? {} : await checkpointIn(output, startedSaving);
  const common = { devices, images, loadSeconds, trainingSeconds, ...saved, ...programs, ...peakMemory() };
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
      updatesPerEpoch === 2 && {
        clipFractionUpdate2: 2 * median('clipFraction'),
        clipFractionUpdate2FirstEpoch: 2 * clipFraction,
      }),
    ...(seen[0]!.maxLogProbMismatch !== undefined && { maxLogProbMismatch: median('maxLogProbMismatch') }),
  });
}

/** The size of a run's newest checkpoint, and how long it took from `started` on. */
async function checkpointIn(output: string, started: number) {
  const folder = join(output, 'checkpoints');
  const newest = join(folder, (await listCheckpoints(folder)).at(-1)!);
  const sizes = readdirSync(newest).map((file) => statSync(join(newest, file)).size);
  const ended = statSync(join(newest, 'state.json')).mtimeMs; // written last
  return {
    checkpointGiB: sizes.reduce((sum, size) => sum + size) / 2 ** 30,
    checkpointSeconds: (ended - started) / 1000,
  };
}

/** The prompts of a run: where all parameters train, so few that every epoch repeats them. */
function promptsFile(folder: string, variant: string, perEpoch: number): string {
  const all = join(folder, 'prompts.txt');
  if (!variant.startsWith('allParameters')) return all;
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
