/** The learning half of an epoch: shuffled passes over its samples, gradients summed, AdamW, averages. */
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { GrpoConfig } from '../config/schema';
import type { Placement } from '../devices';
import { adamWScalars } from '../maths/adamw';
import { emaDecay, emaDue } from '../maths/ema';
import { learningRateAt } from '../maths/learning-rate';
import type { Params, Policy } from '../policy';
import { randomAt } from '../random';
import type { EpochBatch } from '../rollout/collect';
import type { EpochPlan } from '../rollout/epoch-plan';
import type { FlopCounter } from '../utilisation';
import { optimizerStep, type TrainState } from './executables';
import { disposeBut, gradientSum } from './gradient-sum';
import {
  type Objective,
  type PassRows,
  policyGradient,
  preference,
  weightedFlowMatching,
} from './objectives';
import { planUpdates } from './plan';

export interface UpdateOptions {
  readonly epoch: number;
  /** Optimizer steps done before. */
  readonly updates: number;
  /** Factor on the learning rate (halved by rollbacks). */
  readonly lrScale: number;
  /** The epoch's random key. */
  readonly key: tf.Tensor;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface UpdateResult {
  /** The new state; the old one is gone. */
  readonly state: TrainState;
  readonly updates: number;
  readonly learningRate: number;
  readonly losses: number[];
  readonly gradNorms: number[];
  readonly approxKls: number[];
  /** Means over updates (maxima for names that start with max). */
  readonly metrics: Record<string, number>;
}

/** Keys of gradient passes lie beyond those of rollout steps in the epoch's stream. */
const PASS_STREAM = 0x10000;

/** The update of a configuration; its executables are compiled on first use. */
export function updater<C, P>(
  policy: Policy<C, P>,
  plan: EpochPlan,
  config: GrpoConfig,
  placement: Placement,
  flops: FlopCounter,
) {
  const { training, ema, seed } = config;
  const objective = objectiveOf(policy, plan, config, placement);
  const names = ['loss', ...objective.metrics];
  const sum = gradientSum(policy, plan, objective, placement, flops);
  const step = flops.count(optimizerStep(training, placement));

  return async (
    start: TrainState,
    reference: Params,
    batch: EpochBatch<C>,
    advantages: Float64Array,
    options: UpdateOptions,
  ): Promise<UpdateResult> => {
    let state = start;
    const values: tf.Tensor[] = []; // one vector a pass
    const norms: tf.Tensor[] = [];
    const passUpdate: number[] = [];
    let learningRate = 0;
    let passes = 0;
    const { records, latents, promptOf, steps } = batch;
    const samples = { records, latents, promptOf, steps };
    for (let inner = 0; inner < training.innerEpochs; inner++) {
      const updates = planUpdates(advantages, randomAt(seed, 2, options.epoch, inner), {
        updates: training.updatesPerEpoch,
        rows: plan.rowsPerPass,
        ...(training.objective === 'dpo' ? { pairs: { promptOf: batch.promptIndex } } : {}),
      });
      for (const planned of updates) {
        options.onProgress?.(norms.length, updates.length * training.innerEpochs);
        const done = options.updates + norms.length;
        const onPolicy = norms.length === 0 ? 1 : 0;
        const parts = planned.map(({ samples: index, weights }) => (): PassRows => {
          const host = {
            places: tf.tensor1d(index.map(batch.placeOf), 'int32'),
            weights: tf.tensor1d(weights as number[]),
            advantages: tf.tensor1d(index.map((i) => advantages[i]!)),
          };
          const rows = {
            places: placement.everywhere(host.places),
            ...placement.rows({ weights: host.weights, advantages: host.advantages }),
            onPolicy: tf.scalar(onPolicy),
            key: random.foldIn(options.key, PASS_STREAM + passes++),
          };
          disposeBut(rows, host);
          return rows;
        });
        const { trained } = state;
        const summed = sum({ trained, reference, condition: batch.condition, samples }, parts);
        const { gradients } = summed;
        for (const value of summed.values) {
          values.push(value);
          passUpdate.push(norms.length);
        }
        learningRate =
          options.lrScale *
          learningRateAt(training.learningRate, done, {
            kind: training.schedule,
            warmupSteps: training.warmupSteps,
            totalSteps: plan.totalUpdates,
            floor: training.scheduleFloor,
          });
        const moves = !ema.enabled || emaDue(done, ema.interval);
        const scalars = adamWScalars(learningRate, done + 1, training);
        // Without averaging the "average" follows the weights, so that one state serves both.
        const rate = tf.scalar(moves ? 1 - (ema.enabled ? emaDecay(done, ema.decay) : 0) : 0);
        const stepped = step(state, gradients, scalars, rate);
        tf.dispose([scalars, rate]);
        tf.dispose(gradients);
        tf.dispose(state as unknown as tf.TensorContainer);
        state = stepped.state;
        norms.push(stepped.norm);
      }
    }
    const rows = (await Promise.all(values.map((value) => value.data()))).map((row) => Array.from(row));
    const gradNorms = (await Promise.all(norms.map((norm) => norm.data()))).map((row) => row[0]!);
    tf.dispose([...values, ...norms]);
    const perUpdate = gradNorms.map((_, u) =>
      names.map((name, column) =>
        combine(
          name,
          rows.filter((_, i) => passUpdate[i] === u).map((row) => row[column]!),
        ),
      ),
    );
    const column = (name: string) => perUpdate.map((row) => row[names.indexOf(name)] ?? 0);
    const metrics = Object.fromEntries(
      names.map((name) => {
        const numbers = column(name);
        const total = combine(name, numbers);
        return [name, name.startsWith('max') ? total : total / Math.max(1, numbers.length)];
      }),
    );
    return {
      state,
      updates: norms.length,
      learningRate,
      losses: column('loss'),
      gradNorms,
      approxKls: objective.metrics.includes('approxKl') ? column('approxKl') : [],
      metrics: { ...metrics, gradNorm: gradNorms.reduce((a, b) => a + b, 0) / Math.max(1, gradNorms.length) },
    };
  };
}

function combine(name: string, values: readonly number[]): number {
  return name.startsWith('max') ? Math.max(0, ...values) : values.reduce((sum, value) => sum + value, 0);
}

function objectiveOf<C, P>(
  policy: Policy<C, P>,
  plan: EpochPlan,
  { training }: GrpoConfig,
  placement: Placement,
): Objective<C> {
  const timesPerSample = training.timestepsPerSample;
  switch (training.objective) {
    case 'grpo':
    case 'guard':
      return policyGradient(policy, placement, {
        ...training,
        trainedSteps: plan.trainedSteps,
        guard: training.objective === 'guard',
      });
    case 'dpo':
      return preference(policy, placement, { timesPerSample, beta: training.beta });
    case 'sft':
    case 'rwr':
      return weightedFlowMatching(policy, placement, { timesPerSample, advClipMax: training.advClipMax });
  }
}
