/** The loop: roll out, score, compare within prompts, update, average, evaluate, save. */
import { join } from 'node:path';
import { jit, random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { copyTensor, initialState, type RunState, saveRun } from './checkpoint/checkpoint';
import { listRuns, recoverRuns, rollbackTarget, setAsideAfter } from './checkpoint/folder';
import { loadRun } from './checkpoint/load-run';
import { resolveConfig } from './config/resolve';
import type { GrpoConfigInput } from './config/schema';
import { type Placement, placementOn } from './devices';
import { type EpochDetails, type EpochMetrics, epochMetrics, rewardStatistics } from './epoch-metrics';
import { type Evaluation, evaluator } from './evaluate';
import { initialGuardState, watch } from './guard';
import { perPromptAdvantages } from './maths/advantages';
import { advising } from './memory-advice';
import { type Params, type Policy, trainableParams } from './policy';
import { drawWithoutReplacement, randomAt } from './random';
import { collect } from './rollout/collect';
import { epochPlan } from './rollout/epoch-plan';
import type { PromptSource, Scorer } from './scorer';
import { updater } from './update/update';
import { currentPeakTflops, flopCounter, utilisation } from './utilisation';

export type { EpochDetails, EpochMetrics };

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
  /** One device's peak TFLOP/s, for the metric `mfu`; known for NVIDIA's data-centre GPUs. */
  readonly peakTflops?: number | undefined;
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
 * @throws {ConfigError} when options do not fit together; CheckpointStateError when a checkpoint cannot be used or
 *   written; what the scorer throws, after a checkpoint; an Error when it dropped all images of an epoch.
 */
export async function train<C, P>(options: TrainOptions<C, P>): Promise<TrainResult> {
  const { policy, prompts, scorer, signal, onMessage } = options;
  const config = resolveConfig(options.config ?? {});
  const folder = options.outputDir && join(options.outputDir, 'checkpoints');
  if (prompts.length < config.sampling.promptsPerEpoch) {
    throw new Error(
      `${prompts.length} prompts are fewer than sampling.promptsPerEpoch (${config.sampling.promptsPerEpoch})`,
    );
  }
  const plan = epochPlan(config);
  const placement = placementOn(config.devices, config.shardParameters);
  const load = (path: string) => loadRun(path, config, { placement, trainable: policy.trainable });
  const checkpoint = folder && (await checkpointToResume(folder, options.resume ?? false));
  const resumed = checkpoint ? await load(checkpoint) : undefined;
  const initial = resumed && !plan.needsReference ? {} : placedWeights(policy, placement);
  let state = resumed?.state ?? initialState(initial);
  let run: RunState = resumed?.run ?? { epoch: 0, updates: 0, guard: initialGuardState, rollbacks: 0 };
  let savedEpoch = resumed ? run.epoch : -1;
  const reference = plan.needsReference ? initial : {};
  if (reference !== initial) tf.dispose(initial);
  if (resumed) onMessage?.(`Resumed after epoch ${run.epoch} (${run.updates} updates)`);
  const aside = folder && (await setAsideAfter(folder, run.epoch));
  if (aside) onMessage?.(`Checkpoints of later epochs are now in ${aside}`);

  const flops = flopCounter();
  const peakTflops = options.peakTflops ?? currentPeakTflops();
  const rollOut = collect(policy, scorer, plan, config, placement, flops);
  const update = updater(policy, plan, config, placement, flops);
  const evaluate = options.evalPrompts && evaluator(policy, scorer, options.evalPrompts, config, placement);
  const epochKey = jit((key: tf.Tensor, epoch: tf.Tensor) => random.foldIn(key, epoch), { name: 'epochKey' });
  const rootKey = random.key(config.seed);

  const save = async () => {
    if (!folder || savedEpoch === run.epoch) return;
    options.onProgress?.({ phase: 'checkpoint', epoch: run.epoch, done: 0, total: 1 });
    await saveRun(folder, state, run, config, config.keepCheckpoints);
    savedEpoch = run.epoch;
  };
  const evaluateNow = async () => {
    if (!evaluate || signal?.aborted) return;
    const weights = config.ema.enabled ? state.ema : state.trained;
    const evaluation = await advising(
      'a lower evalBatchSize',
      evaluate(weights, run.epoch, options.onProgress, signal),
    ).catch((error) => {
      if (!signal?.aborted) throw error;
    });
    if (evaluation) await options.onEvaluation?.(evaluation);
  };
  const finish = (reason: TrainResult['reason'], problem?: string): TrainResult => {
    tf.dispose([reference, rootKey]);
    tf.dispose(state.optimizer as unknown as tf.TensorContainer);
    const { trained, ema } = state;
    return { reason, problem, epochs: run.epoch, updates: run.updates, trained, ema };
  };

  if (run.epoch === 0) await evaluateNow();
  if (config.guard.action === 'rollback') await save(); // something to roll back to
  while (run.epoch < config.epochs) {
    const { epoch } = run;
    const started = performance.now();
    const chosen = drawWithoutReplacement(
      randomAt(config.seed, 1, epoch),
      prompts.length,
      config.sampling.promptsPerEpoch,
    ).map((index) => prompts.at(index)!);
    const window = plan.window(epoch);
    const epochNumber = tf.scalar(epoch, 'int32');
    const key = epochKey(rootKey, epochNumber);
    epochNumber.dispose();

    const batch = await advising(
      'a lower sampling.batchSize',
      rollOut(state.trained, chosen, window, key, {
        signal,
        overlap: options.overlapRewards ?? true,
        onProgress: (phase, done, total) => options.onProgress?.({ phase, epoch, done, total }),
      }),
    ).catch(async (error) => {
      if (signal?.aborted) return undefined; // the scorer was interrupted
      await save();
      throw error;
    });
    if (!batch) {
      key.dispose();
      await save();
      return finish('interrupted');
    }
    const scored = performance.now();
    const dropped = batch.rewards.map(Number.isNaN);
    if (dropped.every(Boolean)) {
      await save();
      throw new Error(`Scorer ${scorer.name} dropped all ${dropped.length} images of epoch ${epoch}`);
    }
    const groups = config.training.perPrompt ? batch.prompts : batch.prompts.map(() => '');
    const judged = perPromptAdvantages(groups, batch.rewards, {
      kind: plan.advantageKind,
      globalStd: config.training.globalStd,
      dropped,
    });
    const result = await advising(
      'a lower training.batchSize or training.stepsPerPass',
      update(state, reference, batch, judged.advantages, {
        epoch,
        updates: run.updates,
        lrScale: 0.5 ** run.rollbacks,
        key,
        onProgress: (done, total) => options.onProgress?.({ phase: 'update', epoch, done, total }),
      }),
    );
    state = result.state;
    batch.dispose();
    key.dispose();

    const now = performance.now();
    const seconds = (now - started) / 1000;
    const metrics = epochMetrics({
      epoch,
      windowStart: window[0]!,
      batch,
      judged,
      result,
      updatesBefore: run.updates,
      seconds,
      secondsUpdate: (now - scored) / 1000,
      utilisation: utilisation(flops.take(), seconds, config.devices, peakTflops),
    });
    await options.onEpoch?.(metrics, { rewards: batch.rewards, advantages: judged.advantages });

    const watched = watch(
      run.guard,
      {
        epoch,
        ...rewardStatistics(batch.rewards),
        learningRate: result.learningRate,
        loss: result.losses,
        gradNorm: result.gradNorms,
        approxKl: result.approxKls,
      },
      config.guard,
    );
    if (watched.problem && config.guard.action !== 'off') {
      const problem = `Diverged in ${watched.problem}.`;
      const checkpoints = folder ? await listRuns(folder) : [];
      const target = rollbackTarget(checkpoints, watched.goodEpochs ?? epoch);
      if (config.guard.action === 'stop' || !target || run.rollbacks >= config.guard.maxRollbacks) {
        return finish(
          'diverged',
          target ? `${problem} The last good checkpoint is ${join(folder!, target)}.` : problem,
        );
      }
      onMessage?.(`${problem} Rolling back to ${target} with half the learning rate.`);
      tf.dispose(state as unknown as tf.TensorContainer);
      const back = await load(join(folder!, target));
      state = back.state;
      run = { ...back.run, rollbacks: run.rollbacks + 1 };
      await setAsideAfter(folder!, run.epoch);
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

/** The policy's trainable weights, copied and where they will train. */
function placedWeights(policy: Pick<Policy, 'params' | 'trainable'>, placement: Placement): Params {
  return trainableParams(policy, (value, name) => {
    const own = copyTensor(value);
    const placed = placement.parameters({ [name]: own })[name]!;
    if (placed !== own) own.dispose();
    return placed;
  });
}

/** Puts the folder in order and chooses. */
async function checkpointToResume(
  folder: string,
  resume: 'auto' | string | false,
): Promise<string | undefined> {
  await recoverRuns(folder);
  if (resume !== 'auto') return resume || undefined;
  const newest = (await listRuns(folder)).at(-1);
  return newest && join(folder, newest);
}
