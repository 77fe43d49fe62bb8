/** Training from a script, with all the output of `flow-grpo train`. */
import {
  asScorer,
  type GrpoConfig,
  type GrpoConfigInput,
  type Policy,
  type PromptSource,
  type RewardFunction,
  resolveConfig,
  type Scorer,
} from '@flow-grpo/grpo-trainer';
import type { AnyAlgorithm } from '@flow-grpo/grpo-trainer/algorithms';
import { abortOnSignals, type SetupFingerprint } from '@flow-grpo/grpo-trainer/node';
import { type ProgressLine, progressLine } from '../logging/progress-line';
import { resolveWandb, type WandbInput } from '../run-file/schema';
import { type RunResult, type TrainRunOptions, trainRun } from './train-run';

/** The options of your own algorithm are among the others, under its name. */
type OwnConfig<A extends AnyAlgorithm> = GrpoConfigInput & { readonly [Name in A['name']]?: unknown };

export interface RunTrainingOptions<C = unknown, P = unknown, A extends AnyAlgorithm = AnyAlgorithm>
  extends TrainRunOptions {
  readonly policy: Policy<C, P>;
  readonly prompts: PromptSource;
  /** What images are worth: a function (images, prompts, metadata) → one number per image, or a scorer. */
  readonly scorer: RewardFunction | Scorer;
  /** Evaluation prompts, whose images appear in grids and in the report; without them nothing is evaluated. */
  readonly evalPrompts?: PromptSource;
  /** Rewards that only evaluations compute, by name; training never sees them. */
  readonly evalRewards?: Readonly<Record<string, Scorer>>;
  /** The run's folder. */
  readonly output: string;
  /** The options, named as in a run file; the rest have defaults. */
  readonly config?: GrpoConfig | OwnConfig<A>;
  /** Your own algorithm, in place of the one that `config.algorithm` names. */
  readonly algorithm?: A;
  /** What else defines the run, as text that changes with it: a run only resumes with the same text. */
  readonly fingerprint?: SetupFingerprint;
  /** Logs to Weights & Biases, as in a run file. */
  readonly wandb?: WandbInput;
  /** One device's peak TFLOP/s, for the metric `mfu`; known for NVIDIA's data-centre GPUs. */
  readonly peakTflops?: number;
  /** Where progress is shown; standard error by default. */
  readonly line?: ProgressLine;
}

/**
 * Trains a policy on prompts for a reward, on the current backend, and writes to `output` what `flow-grpo train` writes:
 * metrics.jsonl, TensorBoard events, sample grids, checkpoints, report.html, and model.safetensors once it has finished.
 * Called again, it resumes from the newest checkpoint there. SIGINT and SIGTERM save a checkpoint and end the run, unless
 * a `signal` is given.
 *
 * `train` of @flow-grpo/grpo-trainer is the loop alone; `trainRun` does the same as this for a run file.
 *
 * @throws {ConfigError} when options do not fit together or the folder cannot be written; a CheckpointStateError when
 *   another run has the folder, or its checkpoint is one of another run; what the scorer throws.
 */
export async function runTraining<C, P, A extends AnyAlgorithm = AnyAlgorithm>(
  options: RunTrainingOptions<C, P, A>,
): Promise<RunResult> {
  const { policy, prompts, evalPrompts, scorer, output, config, algorithm, fingerprint, wandb, peakTflops } =
    options;
  const line = options.line ?? progressLine();
  const run = {
    config: resolveConfig(config ?? {}, algorithm),
    setup: { kind: 'code' },
    output,
    wandb: wandb && resolveWandb(wandb),
    peakTflops,
    algorithm,
  } as const;
  const made = {
    policy: policy as Policy,
    prompts,
    scorer: asScorer(scorer),
    ...(evalPrompts && { evalPrompts }),
    ...(options.evalRewards && { evalRewards: options.evalRewards }),
    ...(fingerprint && { fingerprint }),
  };
  const signals = options.signal
    ? undefined
    : abortOnSignals((name) => line.note(`${name}: saving what is done, then exiting; repeat to exit now`));
  try {
    return await trainRun(run, made, { ...options, signal: options.signal ?? signals?.signal }, line);
  } finally {
    line.end();
    signals?.release();
  }
}
