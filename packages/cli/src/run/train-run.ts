/** Training as `flow-grpo train` does it: logs, report, live page, profile, final weights. */
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { saveLora, saveSafetensors } from '@flow-grpo/checkpoint-io';
import {
  asScorer,
  type CheckpointStore,
  ConfigError,
  type EpochMetrics,
  type GrpoConfig,
  loraScaleOf,
  type Params,
  type ProcessGroup,
  type PromptSource,
  type TrainOptions,
  type TrainResult,
  train,
} from '@flow-grpo/grpo-trainer';
import {
  acquireLease,
  checkpointEpoch,
  checkpointFolder,
  checkSameRun,
  type HeldLease,
  listCheckpoints,
  loadWeights,
  openRunCheckpoint,
  type SetupFingerprint,
} from '@flow-grpo/grpo-trainer/node';
import { unstackLora } from '@flow-grpo/nn';
import { plural } from '@flow-grpo/page-components/numbers';
import { need } from '../commands/shared';
import { unjudgedEvaluations } from '../human/unjudged-evaluations';
import { readJsonLines } from '../logging/json-lines';
import { clearOutcome, writeOutcome } from '../logging/outcome';
import { type ProgressLine, progressLine } from '../logging/progress-line';
import { writeRunReport } from '../report/run-report';
import { setupFingerprint } from '../setup/fingerprint';
import type { RunSetup } from '../setup/setup';
import { estimateMemory } from './memory-estimate';
import { attachObservers, type ObserverOptions, type Observers } from './observers';
import { checkOutput } from './output-folder';
import { minimumEpochTime } from './roofline';
import { startTable } from './start-table';
import type { TrainingRun } from './training-run';

/** The caller's own callbacks, called after the logs are written. */
export type RunCallbacks = Pick<
  TrainOptions<unknown, unknown>,
  'onEpoch' | 'onEvaluation' | 'onProgress' | 'onMessage'
>;

export interface TrainRunOptions extends Partial<ObserverOptions>, RunCallbacks {
  /** 'auto' (default) resumes from the newest checkpoint in the run's folder, a path from that checkpoint. */
  readonly resume?: 'auto' | (string & {}) | false;
  /** Aborting saves a checkpoint at the next safe point and ends the run. */
  readonly signal?: AbortSignal | undefined;
  /** What may differ from the resumed run: paths of the configuration, and `setup.NAME` of its fingerprint. */
  readonly allowChanged?: readonly string[];
  /** Take over the run's folder from a run that is using it. */
  readonly takeOver?: boolean;
  /**
   * The processes that train together. Each calls this with the same run, and all must share its folder. Process 0 writes
   * everything except the other processes' parts of checkpoints.
   */
  readonly group?: ProcessGroup | undefined;
}

/** How a run ended, and what it wrote. The caller disposes of `trained` and `ema`. */
export type RunResult = TrainResult & {
  /** The run's folder. */
  readonly output: string;
  /** The report's file, if there was at least one update. */
  readonly report?: string;
  /** The trained weights' file (their average where there is one), of a run that finished. */
  readonly model?: string;
  /** The folder of trained adapters, of a run whose adapters train. */
  readonly adapter?: string;
};

/** Defaults of the live page and the profile. */
const OBSERVERS = { uiPort: '0', uiHost: '127.0.0.1', profileEpochs: '3' };

/**
 * Trains what a run's file describes, as `flow-grpo train` does, on the current backend. The folder `run.output` gets
 * config.json, metrics.jsonl, TensorBoard events, sample grids, checkpoints, outcome.json (how it ended), report.html, and
 * when the run has finished model.safetensors: the trained weights (their average where there is one) under the model's own
 * names, or of adapters the folder `adapter` in PEFT's layout.
 *
 * @returns how it ended, and what it wrote
 * @throws {ConfigError} when the setup lacks a policy, prompts or a reward, or an observer cannot start; a
 *   CheckpointStateError when another run has the folder, or the checkpoint is one of another run.
 */
export async function trainRun(
  run: TrainingRun,
  made: RunSetup,
  options: TrainRunOptions = {},
  line: ProgressLine = progressLine(),
): Promise<RunResult> {
  const { takeOver = false, group } = options;
  const checkpoints = join(run.output, 'checkpoints');
  if (group && group.processId !== 0) {
    return trainAlong(checkpointFolder(checkpoints, {}, group), run, made, options);
  }
  await checkOutput(run.output);
  // Before anything is written: the logs of a run under way would be cut.
  const lease = await acquireLease(checkpoints, { takeOver, onWait: line.note });
  try {
    const store = checkpointFolder(checkpoints, lease, group);
    // Of this process alone: the others do not wait for what is looked up before training.
    const own = checkpointFolder(checkpoints, lease);
    return await trainInto({ store, own, check: lease.check }, run, made, options, line);
  } finally {
    await lease.release();
  }
}

/** A process other than process 0: it trains and reports nothing. */
async function trainAlong(
  store: CheckpointStore,
  run: TrainingRun,
  made: RunSetup,
  options: TrainRunOptions,
): Promise<RunResult> {
  const result = await train(await trainOptions(store, run, made, options));
  return { ...result, output: run.output };
}

/** What every process gives `train`. */
async function trainOptions(
  store: CheckpointStore,
  run: TrainingRun,
  made: RunSetup,
  { signal, allowChanged = [], resume = 'auto', group }: TrainRunOptions,
) {
  const { config, algorithm } = run;
  return {
    policy: need(made.policy, 'policy', run),
    prompts: need(made.prompts, 'prompts', run),
    scorer: need(made.scorer, 'scorer', run),
    evalPrompts: made.evalPrompts,
    evalRewards: made.evalRewards,
    config,
    ...(algorithm && { algorithm }),
    store,
    setup: await setupFingerprint(run.setup, made, { signal }),
    allowChanged,
    resume,
    ...(signal && { signal }),
    ...(group && { group }),
  };
}

interface RunFolder {
  readonly store: CheckpointStore;
  /** The same folder as this process sees it. */
  readonly own: CheckpointStore;
  readonly check: HeldLease['check'];
}

async function trainInto(
  { store, own, check: checkLease }: RunFolder,
  run: TrainingRun,
  made: RunSetup,
  options: TrainRunOptions,
  line: ProgressLine,
): Promise<RunResult> {
  const { config, output, algorithm } = run;
  const { person } = options;
  const { scorer: given, ...shared } = await trainOptions(store, run, made, options);
  const scorer = person?.expected ? unjudgedEvaluations(asScorer(given)) : asScorer(given);
  const { policy, prompts, resume } = shared;
  checkPromptCount(prompts, config);
  // Before the logs lose what the run will write again: a checkpoint that is refused leaves them as they are.
  const fromEpoch = resume ? await resumeEpoch(own, run, { ...shared, resume }) : 0;
  const { prompt } = prompts.at(0)!;
  const memory = estimateMemory(policy, prompt, config, algorithm);
  const measured = await secondsPerEpoch(output);
  const minimum =
    measured === undefined ? minimumEpochTime(policy, prompt, config, run.peakTflops, algorithm) : undefined;
  line.note(startTable(run, memory, { measured, minimum }));
  await person?.keepIn(output);
  const observers = await attachObservers(run, scorer, fromEpoch, { ...OBSERVERS, ...options }, line);
  await writeFile(join(output, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  await clearOutcome(output);
  let finalMessage = 'ended by an error';
  let exitCode = 1;
  try {
    const result = await train({
      ...shared,
      peakTflops: run.peakTflops,
      ...observers,
      ...withCallbacks(observers, options, line, checkLease),
    });
    const { reason, problem } = result;
    await writeOutcome(output, { reason, ...(problem !== undefined && { problem }) });
    const weights = await finalWeights(result, run, options.group);
    const saved = result.reason === 'finished' ? await saveModel(output, weights, made, line) : {};
    const report = result.updates > 0 ? await reportOf(output, line) : undefined;
    finalMessage = result.problem ?? `${endOf(result)}${nextAfter(result, fromEpoch)}`;
    line.note(finalMessage);
    exitCode = result.reason === 'diverged' || result.reason === 'hacked' ? 1 : 0;
    return { ...result, output, ...(report && { report }), ...saved };
  } catch (error) {
    // A full disk may be what it failed by; the outcome of a run that took the folder over is that run's.
    await checkLease()
      .then(() => writeOutcome(output, { reason: 'failed', problem: (error as Error).message }))
      .catch(() => {});
    throw error;
  } finally {
    await observers.close(finalMessage, exitCode);
  }
}

const endOf = ({ reason, epochs, updates }: TrainResult) =>
  `${reason} after ${plural(epochs, 'epoch')}, ${plural(updates, 'update')}`;

/** What to do next, where that is not plain. */
function nextAfter({ reason, epochs }: TrainResult, fromEpoch: number): string {
  if (reason === 'interrupted') return '; run the same command again to resume';
  return fromEpoch > 0 && epochs === fromEpoch
    ? '; it had already finished: raise epochs to train longer'
    : '';
}

/** No process holds all sharded weights: they are read from the last checkpoint, which is complete. */
async function finalWeights(
  { reason, ema, trained, epochs }: TrainResult,
  { config, output }: TrainingRun,
  group: ProcessGroup | undefined,
): Promise<Params> {
  if (reason !== 'finished' || !group || !config.shardParameters) return config.ema.enabled ? ema : trained;
  const name = (await listCheckpoints(join(output, 'checkpoints'))).find(
    (each) => checkpointEpoch(each) === epochs,
  );
  const { weights } = await loadWeights(join(output, 'checkpoints', name!), config);
  return weights;
}

/** The run's observers first, then the caller; nothing is logged any more once another run has taken the folder over. */
function withCallbacks(
  observers: Observers,
  options: RunCallbacks,
  line: ProgressLine,
  checkLease: HeldLease['check'],
): RunCallbacks {
  return {
    onProgress(progress) {
      observers.onProgress(progress);
      options.onProgress?.(progress);
    },
    async onEpoch(metrics, details) {
      await checkLease();
      await observers.onEpoch(metrics, details);
      await options.onEpoch?.(metrics, details);
    },
    async onEvaluation(evaluation) {
      await checkLease();
      await observers.onEvaluation(evaluation);
      await options.onEvaluation?.(evaluation);
    },
    onMessage(message) {
      line.note(message);
      options.onMessage?.(message);
    },
  };
}

/** Checked before tables and logs are written; `train` checks only after them. */
function checkPromptCount({ length }: PromptSource, { sampling: { promptsPerEpoch } }: GrpoConfig): void {
  if (length === 0) throw new ConfigError('setup: there are no prompts; give at least one');
  if (length < promptsPerEpoch) {
    throw new ConfigError(
      `sampling.promptsPerEpoch: ${promptsPerEpoch} prompts per epoch, but there are only ${length}; give more prompts, or set it to at most ${length}`,
    );
  }
}

/** Writes the report and says where; a failure here does not fail the run. */
async function reportOf(output: string, line: ProgressLine): Promise<string | undefined> {
  try {
    const report = await writeRunReport(output);
    line.note(`report: ${report}`);
    return report;
  } catch (error) {
    line.note(`No report was written: ${(error as Error).message}. flow-grpo report ${output} tries again.`);
    return undefined;
  }
}

/** Writes `model.safetensors`, or the folder `adapter` of a policy whose adapters train. */
async function saveModel(
  output: string,
  weights: Params,
  made: RunSetup,
  line: ProgressLine,
): Promise<Pick<RunResult, 'model' | 'adapter'>> {
  const { savedWeights, saveAdapter = inPeftLayout(made) } = made;
  const lora = loraScaleOf(made.policy!);
  if (lora) {
    const folder = join(output, 'adapter');
    const adapters = unstackLora(weights);
    try {
      await saveAdapter(folder, { adapters, ...lora });
      line.note(`adapters: ${folder}`);
    } finally {
      for (const [name, value] of Object.entries(adapters)) if (weights[name] !== value) value.dispose();
    }
    return { adapter: folder };
  }
  const file = join(output, 'model.safetensors');
  const saved = savedWeights?.(weights) ?? weights;
  try {
    await saveSafetensors(file, saved);
  } finally {
    for (const [name, value] of Object.entries(saved)) if (weights[name] !== value) value.dispose();
  }
  return { model: file };
}

const inPeftLayout =
  ({ baseModel }: RunSetup): NonNullable<RunSetup['saveAdapter']> =>
  (folder, lora) =>
    saveLora(folder, lora, { baseModel });

/**
 * Epochs done in the checkpoint that a run resumes from; 0 where there is none.
 *
 * @throws {CheckpointStateError} when it cannot be read, or is one of another run
 */
async function resumeEpoch(
  folder: CheckpointStore,
  { config, output }: TrainingRun,
  { resume, setup, allowChanged }: ResumeChoice,
): Promise<number> {
  const checkpoints = join(output, 'checkpoints');
  await folder.recover();
  const names = await listCheckpoints(checkpoints);
  const name = resume === 'auto' ? names.at(-1) : resume;
  if (name === undefined) return 0;
  const saved = await openRunCheckpoint(names.includes(name) ? join(checkpoints, name) : resolve(name));
  checkSameRun(saved, config, { setup, allowChanged });
  // Logs of later epochs go; those after the newest checkpoint are drawn again whatever it holds.
  if (resume !== 'auto') await saved.checkFiles();
  return saved.run.epoch;
}

interface ResumeChoice {
  readonly resume: string;
  readonly setup: SetupFingerprint;
  readonly allowChanged: readonly string[];
}

/** The mean of the folder's last epochs; the first one compiles and does not count. */
export async function secondsPerEpoch(output: string): Promise<number | undefined> {
  const recent = (await readJsonLines<EpochMetrics>(join(output, 'metrics.jsonl'))).slice(1).slice(-10);
  const seconds = recent.flatMap((metrics) => metrics.seconds ?? []);
  return seconds.length > 0 ? seconds.reduce((a, b) => a + b, 0) / seconds.length : undefined;
}
