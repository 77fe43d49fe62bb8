/** A supervised training loop: batches in, one compiled step with donated state, checkpoints, progress. */
import type { Params } from '@flow-grpo/grpo-trainer';
import type { OptimizerState } from '@flow-grpo/grpo-trainer/maths';
import {
  type AdamWOptions,
  adamWScalars,
  adamWUpdate,
  clipByGlobalNorm,
  emaDecay,
  emaUpdate,
  initialOptimizerState,
  type LearningRateSchedule,
  learningRateAt,
} from '@flow-grpo/grpo-trainer/maths';
import { jit, random, tidyAsync, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { type FitIdentity, loadFit, saveFit } from './fit-checkpoint';

export interface FitOptions {
  readonly steps: number;
  readonly seed?: number;
  /** Peak learning rate; 1e-3 by default. */
  readonly learningRate?: number;
  /** Linear warm-up, then constant, linear or cosine to `scheduleFloor` of the peak at `steps`. */
  readonly schedule?: LearningRateSchedule['kind'];
  readonly warmupSteps?: number;
  readonly scheduleFloor?: number;
  /** β₁ 0.9, β₂ 0.98, ε 1e-8, weight decay 0.01 by default. */
  readonly adamW?: Partial<AdamWOptions>;
  /** 1 by default. */
  readonly maxGradNorm?: number;
  /** Highest decay of the average, 0.999 by default; it warms up as min((1 + step) / (10 + step), decay). */
  readonly emaDecay?: number;
  /** Steps between reports, 50 by default; losses are read only then, so that the device stays ahead. */
  readonly reportEvery?: number;
  /** Folder of the checkpoint, `saveEvery` steps apart (1,000 by default); resumed from when it is there. */
  readonly checkpoint?: string;
  readonly saveEvery?: number;
  /** What else defines the fit, as text that changes with it: it only resumes with the same text. */
  readonly fingerprint?: FitIdentity;
  /** Options and names of the fingerprint that may differ from those of the checkpoint, with all below them. */
  readonly allowChanged?: readonly string[];
  /** Called before anything is written to the checkpoint; what it throws ends the fit. */
  readonly beforeSave?: () => Promise<void>;
  readonly signal?: AbortSignal;
  readonly onReport?: (report: FitReport) => void | Promise<void>;
  /** Called after every checkpoint and at the end, for measuring; the weights stay the loop's own. */
  readonly onSave?: (save: FitCheckpoint) => void | Promise<void>;
}

/** Where a fit stands when it saves. */
export interface FitCheckpoint {
  readonly step: number;
  readonly trained: Params;
  readonly ema: Params;
}

/** Progress of a fit. */
export interface FitReport {
  /** Steps done, of how many. */
  readonly step: number;
  readonly steps: number;
  /** Mean loss since the last report. */
  readonly loss: number;
  readonly learningRate: number;
  readonly gradNorm: number;
  readonly stepsPerSecond: number;
  readonly secondsLeft: number;
}

export type FitResult = {
  /** Trained weights and their average; the caller disposes of them. */
  readonly trained: Params;
  readonly ema: Params;
  readonly steps: number;
  readonly reason: 'finished' | 'interrupted';
};

const ADAMW: AdamWOptions = { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.01 };

/**
 * Minimises `loss` over `params`. `batchAt(step)` gives a pytree of tensors of constant shapes (disposed after use, like
 * all else that it and the callbacks make); `loss` is traced once and gets the batch and a random key of the step. A function
 * of seed and batches alone, so a run resumed from its checkpoint ends with the same bits.
 *
 * @throws when a loss is not finite, naming the step and the learning rate; the checkpoint stays as it was. When the
 *   checkpoint was made with other options, of other weights, or with another fingerprint, naming what differs.
 */
export async function fit<B>(
  params: Params,
  loss: (params: Params, batch: B, key: tf.Tensor) => tf.Tensor,
  batchAt: (step: number) => B | Promise<B>,
  options: FitOptions,
): Promise<FitResult> {
  const { steps, seed = 0, learningRate = 1e-3, maxGradNorm = 1, signal } = options;
  const { reportEvery = 50, saveEvery = 1000, checkpoint } = options;
  const adamW = { ...ADAMW, ...options.adamW };
  const schedule: LearningRateSchedule = {
    kind: options.schedule ?? 'linear',
    warmupSteps: options.warmupSteps ?? Math.min(200, Math.floor(steps / 10)),
    totalSteps: steps,
    floor: options.scheduleFloor ?? 0.02,
  };
  const trainStep = jit(
    function trainStep(
      state: OptimizerState,
      batch: B,
      key: tf.Tensor,
      scalars: tf.Tensor1D,
      rate: tf.Tensor,
    ) {
      const names = Object.keys(state.trained);
      const f = (...weights: tf.Tensor[]) =>
        loss(Object.fromEntries(names.map((name, i) => [name, weights[i]!])), batch, key) as tf.Scalar;
      const { value, grads } = tf.valueAndGrads(f)(Object.values(state.trained));
      const raw = Object.fromEntries(names.map((name, i) => [name, grads[i]!]));
      const { gradients, norm } = clipByGlobalNorm(raw, maxGradNorm);
      const next = adamWUpdate(state.trained, state.optimizer, gradients, scalars, adamW);
      const ema = emaUpdate(state.ema, next.params, rate);
      return { state: { trained: next.params, optimizer: next.state, ema }, report: tf.stack([value, norm]) };
    },
    { donate: [0], name: 'trainStep' },
  );

  const madeWith: FitIdentity = {
    ...inWords({ seed, learningRate, maxGradNorm, emaDecay: options.emaDecay ?? 0.999, adamW }),
    ...inWords(scheduleOf(schedule)),
    ...options.fingerprint,
  };
  const resumed = checkpoint
    ? await loadFit(checkpoint, params, madeWith, options.allowChanged ?? [])
    : undefined;
  let state = resumed?.state ?? initialOptimizerState(params);
  let step = resumed?.step ?? 0;
  const rootKey = random.key(seed);
  let pending: tf.Tensor[] = [];
  let since = performance.now();
  const report = async () => {
    if (pending.length === 0) return;
    const values = await Promise.all(pending.map((tensor) => tensor.data()));
    tf.dispose(pending);
    const count = pending.length;
    pending = [];
    const mean = values.reduce((sum, [value]) => sum + value!, 0) / count;
    const rate = learningRateAt(learningRate, step - 1, schedule);
    if (!Number.isFinite(mean)) {
      throw new Error(
        `The loss is ${mean} within steps ${step - count} … ${step - 1} at learning rate ${rate.toPrecision(2)}: lower learningRate, or look at the batches`,
      );
    }
    const stepsPerSecond = (1000 * count) / (performance.now() - since);
    since = performance.now();
    const told = {
      step,
      steps,
      loss: mean,
      learningRate: rate,
      gradNorm: values.at(-1)![1]!,
      stepsPerSecond,
      secondsLeft: (steps - step) / stepsPerSecond,
    };
    await tidyAsync(() => options.onReport?.(told));
  };
  const save = async () => {
    await report();
    if (checkpoint) {
      await tidyAsync(() => options.beforeSave?.());
      await saveFit(checkpoint, state, step, madeWith);
    }
    await tidyAsync(() => options.onSave?.({ step, trained: state.trained, ema: state.ema }));
    since = performance.now();
  };

  while (step < steps && !signal?.aborted) {
    const batch = await tidyAsync(() => batchAt(step));
    const key = random.foldIn(rootKey, step);
    const scalars = adamWScalars(learningRateAt(learningRate, step, schedule), step + 1, adamW);
    const rate = tf.scalar(1 - emaDecay(step, options.emaDecay ?? 0.999));
    const result = trainStep(state, batch, key, scalars, rate);
    tf.dispose([...tree.leaves(batch), ...tree.leaves(state), key, scalars, rate]);
    state = result.state;
    pending.push(result.report);
    step++;
    if (pending.length === reportEvery) await report();
    if (step % saveEvery === 0 && step < steps) await save();
  }
  await save();
  tf.dispose([rootKey, ...tree.leaves(state.optimizer)]);
  return {
    trained: state.trained,
    ema: state.ema,
    steps: step,
    reason: step < steps ? 'interrupted' : 'finished',
  };
}

/** A schedule as far as it says what is learned: a constant rate does not depend on the steps. */
const scheduleOf = ({ kind, warmupSteps, totalSteps, floor }: LearningRateSchedule) => ({
  schedule: kind,
  warmupSteps,
  ...(kind !== 'constant' && { steps: totalSteps, scheduleFloor: floor }),
});

const inWords = (values: Readonly<Record<string, unknown>>): FitIdentity =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, JSON.stringify(value)]));
