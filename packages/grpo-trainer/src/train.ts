/** The loop: roll out, score, compare within prompts, update, average, evaluate, save. */
import { join } from 'node:path';
import { jit, random } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { copyTensor, initialState, listRuns, loadRun, type RunState, saveRun } from './checkpoint/checkpoint';
import { resolveConfig } from './config/resolve';
import type { GrpoConfig, GrpoConfigInput } from './config/schema';
import { placementOn } from './devices';
import { type Evaluation, evaluator } from './evaluate';
import { initialGuardState, watch } from './guard';
import { perPromptAdvantages } from './maths/advantages';
import { type Params, type Policy, trainableParams } from './policy';
import { drawWithoutReplacement, randomAt } from './random';
import { collect } from './rollout/collect';
import { epochPlan } from './rollout/epoch-plan';
import type { PromptSource, Scorer } from './scorer';
import type { TrainState } from './update/executables';
import { updater } from './update/update';

/** What an epoch did: plain numbers, one line of metrics.jsonl. */
export interface EpochMetrics {
  readonly epoch: number;
  readonly updates: number;
  readonly samples: number;
  readonly reward: number;
  readonly [name: string]: number;
}

/** What an epoch's numbers were made of, sample by sample, for histograms. */
export interface EpochDetails {
  readonly rewards: readonly number[];
  /** What the policy gradient was weighted by, before clipping. */
  readonly advantages: Float64Array;
}

/** A long work under way. */
export interface Progress {
  readonly phase: 'rollout' | 'reward' | 'update' | 'evaluation' | 'checkpoint';
  readonly epoch: number;
  readonly done: number;
  readonly total: number;
}

export interface TrainOptions<C, P> {
  readonly policy: Policy<C, P>;
  readonly prompts: PromptSource;
  readonly scorer: Scorer;
  readonly config?: GrpoConfigInput;
  /** Prompts of evaluations, always all of them with the same noise; no evaluations without. */
  readonly evalPrompts?: PromptSource;
  /** Where checkpoints go; none are kept without it. */
  readonly outputDir?: string;
  /** 'auto' continues from the newest checkpoint in outputDir, if any; a path from that one. */
  readonly resume?: 'auto' | string | false;
  /** Score a rollout batch while the next one runs; true by default. */
  readonly overlapRewards?: boolean;
  /** Aborting ends the run at the next safe point, with a checkpoint. */
  readonly signal?: AbortSignal;
  readonly onEpoch?: (metrics: EpochMetrics, details: EpochDetails) => void | Promise<void>;
  readonly onEvaluation?: (evaluation: Evaluation) => void | Promise<void>;
  readonly onProgress?: (progress: Progress) => void;
  readonly onMessage?: (message: string) => void;
}

export interface TrainResult {
  readonly reason: 'finished' | 'interrupted' | 'diverged';
  /** Why it diverged, in words. */
  readonly problem?: string;
  readonly epochs: number;
  readonly updates: number;
  /** The trained weights and their average; the caller disposes of them. */
  readonly trained: Params;
  readonly ema: Params;
}

/**
 * Trains a policy with Flow-GRPO or one of its variants. Every random number is a function of the seed and the
 * epoch, so a run that was interrupted and resumed gives the same bits as one that was not.
 *
 * @throws {ConfigError} when options do not fit together; CheckpointStateError when a checkpoint cannot be used.
 */
export async function train<C, P>(options: TrainOptions<C, P>): Promise<TrainResult> {
  const { policy, prompts, scorer, signal, onMessage } = options;
  const config = resolveConfig(options.config ?? {});
  const { seed } = config;
  const folder = options.outputDir && join(options.outputDir, 'checkpoints');
  if (prompts.length < config.sampling.promptsPerEpoch) {
    throw new Error(
      `${prompts.length} prompts are fewer than sampling.promptsPerEpoch (${config.sampling.promptsPerEpoch})`,
    );
  }
  const placement = placementOn(config.devices);
  const own = trainableParams(policy, copyTensor);
  const reference = placement.everywhere(own);
  if (reference !== own) tf.dispose(own);
  const resumed = folder ? await findCheckpoint(folder, options.resume ?? false, config) : undefined;
  let state: TrainState = resumed?.state ?? initialState(reference);
  let run: RunState = resumed?.run ?? { epoch: 0, updates: 0, guard: initialGuardState, rollbacks: 0 };
  let savedEpoch = resumed ? run.epoch : -1;
  if (resumed) onMessage?.(`Resumed after epoch ${run.epoch} (${run.updates} updates)`);

  const plan = epochPlan(config);
  const rollOut = collect(policy, scorer, plan, config, placement);
  const update = updater(policy, plan, config, placement);
  const evaluate = options.evalPrompts && evaluator(policy, scorer, options.evalPrompts, config);
  const epochKey = jit((key: tf.Tensor, epoch: tf.Tensor) => random.foldIn(key, epoch), { name: 'epochKey' });
  const rootKey = random.key(seed);

  const save = async () => {
    if (!folder || savedEpoch === run.epoch) return;
    options.onProgress?.({ phase: 'checkpoint', epoch: run.epoch, done: 0, total: 1 });
    await saveRun(folder, state, run, config, config.keepCheckpoints);
    savedEpoch = run.epoch;
  };
  const evaluateNow = async () => {
    if (!evaluate || signal?.aborted) return;
    const weights = config.ema.enabled ? state.ema : state.trained;
    await options.onEvaluation?.(await evaluate(weights, run.epoch, options.onProgress));
  };
  const finish = (reason: TrainResult['reason'], problem?: string): TrainResult => {
    tf.dispose([reference, rootKey]);
    tf.dispose(state.optimizer as unknown as tf.TensorContainer);
    const { trained, ema } = state;
    return { reason, problem, epochs: run.epoch, updates: run.updates, trained, ema };
  };

  if (!resumed) await evaluateNow();
  while (run.epoch < config.epochs) {
    const { epoch } = run;
    const started = performance.now();
    const host = randomAt(seed, 1, epoch);
    const chosen = drawWithoutReplacement(host, prompts.length, config.sampling.promptsPerEpoch).map(
      (index) => prompts.at(index)!,
    );
    const window = plan.window(epoch);
    const epochNumber = tf.scalar(epoch, 'int32');
    const key = epochKey(rootKey, epochNumber);
    epochNumber.dispose();

    const batch = await rollOut(state.trained, chosen, window, key, {
      signal,
      overlap: options.overlapRewards ?? true,
      onProgress: (phase, done, total) => options.onProgress?.({ phase, epoch, done, total }),
    });
    if (!batch) {
      key.dispose();
      await save();
      return finish('interrupted');
    }
    const scored = performance.now();
    const groups = config.training.perPrompt ? batch.prompts : batch.prompts.map(() => '');
    const judged = perPromptAdvantages(groups, batch.rewards, {
      kind: plan.advantageKind,
      globalStd: config.training.globalStd,
    });
    const lrScale = 0.5 ** run.rollbacks;
    const result = await update(state, reference, batch, judged.advantages, {
      epoch,
      updates: run.updates,
      lrScale,
      key,
      onProgress: (done, total) => options.onProgress?.({ phase: 'update', epoch, done, total }),
    });
    state = result.state;
    batch.dispose();
    key.dispose();

    const seconds = (performance.now() - started) / 1000;
    const reward = mean(batch.rewards);
    const rewardStd = Math.sqrt(mean(batch.rewards.map((value) => (value - reward) ** 2)));
    const watched = watch(
      run.guard,
      {
        epoch,
        reward,
        rewardStd,
        learningRate: result.learningRate,
        loss: result.losses,
        gradNorm: result.gradNorms,
        approxKl: result.approxKls,
      },
      config.guard,
    );
    const metrics: EpochMetrics = {
      epoch,
      updates: run.updates + result.updates,
      samples: (epoch + 1) * plan.epochSize,
      reward,
      rewardStd,
      groupRewardStd: judged.rewardStd,
      zeroVarianceShare: judged.zeroVarianceGroups / judged.groups,
      advantageMean: mean(Array.from(judged.advantages, Math.abs)),
      learningRate: result.learningRate,
      windowStart: window[0]!,
      ...Object.fromEntries(
        Object.entries(batch.details).map(([name, values]) => [`reward.${name}`, mean(values)]),
      ),
      ...result.metrics,
      ...batch.seconds,
      secondsUpdate: (performance.now() - scored) / 1000,
      seconds,
      samplesPerSecond: plan.epochSize / seconds,
    };
    await options.onEpoch?.(metrics, { rewards: batch.rewards, advantages: judged.advantages });

    if (watched.problem && config.guard.action !== 'off') {
      const problem = `Diverged in ${watched.problem}.`;
      const names = folder ? await listRuns(folder) : [];
      const last = names.at(-1);
      if (config.guard.action === 'stop' || !last || run.rollbacks >= config.guard.maxRollbacks) {
        return finish(
          'diverged',
          last ? `${problem} The last checkpoint is ${join(folder!, last)}.` : problem,
        );
      }
      onMessage?.(`${problem} Rolling back to ${last} with half the learning rate.`);
      disposeState(state);
      const back = await loadRun(join(folder!, last), config);
      state = back.state;
      run = { ...back.run, rollbacks: run.rollbacks + 1 };
      savedEpoch = -1;
      await save(); // so that a kill now does not forget the halved learning rate
      continue;
    }
    run = { ...run, epoch: epoch + 1, updates: run.updates + result.updates, guard: watched.state };
    const last = run.epoch === config.epochs;
    if (last || run.epoch % config.evalEvery === 0) await evaluateNow();
    if (last || signal?.aborted || run.epoch % config.saveEvery === 0) await save();
    if (signal?.aborted && !last) return finish('interrupted');
  }
  return finish('finished');
}

async function findCheckpoint(folder: string, resume: 'auto' | string | false, config: GrpoConfig) {
  if (!resume) return undefined;
  if (resume !== 'auto') return loadRun(resume, config);
  const newest = (await listRuns(folder)).at(-1);
  return newest ? loadRun(join(folder, newest), config) : undefined;
}

function disposeState(state: TrainState): void {
  tf.dispose(state as unknown as tf.TensorContainer);
}

const mean = (values: readonly number[]) =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
