/** The executables of every update: a gradient pass, and the optimizer step that ends it. */
import { castToStorage } from '@flow-grpo/nn';
import { jit, shardLike } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Placement } from '../devices';
import { type AdamWOptions, type AdamWState, adamWUpdate, clipByGlobalNorm, mapParams } from '../maths/adamw';
import { emaUpdate } from '../maths/ema';
import type { Params } from '../policy';
import type { EpochSamples, Objective, PassRows } from './objectives';
import { differentiable, type Prepared, refuseUntouched } from './preparation';

/** Everything that training changes. Float32, whatever the policy computes in. */
export interface TrainState {
  readonly trained: Params;
  readonly optimizer: AdamWState;
  readonly ema: Params;
}

/** Zeros like the weights, made where they lie, for the first pass of an update to add to. */
export function zeroGradients() {
  return jit(
    (trained: Params): Params => mapParams(trained, (value) => shardLike(tf.zerosLike(value), value)),
    {
      name: 'zeroGradients',
    },
  );
}

/**
 * Adds the gradients of one pass to `accumulated`, which is donated, and with `prepared` those of what was prepared to its
 * sums, donated too; without it, what depends on the prompts alone is part of the pass.
 *
 * @param touched gets the names of the weights that a pass with `prepared` reaches by itself
 * @returns the sums, and [loss, ...objective.metrics] of the pass.
 * @throws when a weight has no effect on the loss, naming it.
 */
export function gradientPass<C>(objective: Objective<C>, placement: Placement, touched = new Set<string>()) {
  return jit(
    function gradientPass(
      accumulated: Params,
      trained: Params,
      reference: Params,
      condition: C,
      samples: EpochSamples,
      rows: PassRows,
      prepared?: Prepared,
      preparedSums: readonly tf.Tensor[] = [],
    ): { gradients: Params; prepared: tf.Tensor[]; values: tf.Tensor } {
      const names = Object.keys(trained);
      const f = () => {
        const { loss, metrics } = objective.loss(trained, reference, condition, samples, rows, prepared);
        return tf.stack([loss, ...metrics].map((value) => tf.reshape(value, [])));
      };
      // Only the loss is differentiated: the metrics ride along with a zero upstream gradient.
      const upstream = tf.oneHot(tf.scalar(0, 'int32'), objective.metrics.length + 1, 1, 0, 'float32');
      const leaves = prepared ? differentiable(prepared.trained) : [];
      // The engine's own call, which tells what no gradient reaches; tf.valueAndGrads only says that there is such a thing.
      const { value, grads } = tf
        .engine()
        .gradients(f, [...Object.values(trained), ...leaves], tf.reshape(upstream, [-1]), true);
      const reached = names.filter((_, i) => grads[i]);
      for (const name of reached) touched.add(name);
      if (!prepared) refuseUntouched(names.filter((name) => !reached.includes(name)));
      const sum = (before: tf.Tensor, gradient: tf.Tensor | undefined) =>
        gradient
          ? shardLike(tf.add(before, shardLike(castToStorage(gradient, 'float32'), before)), before)
          : tf.clone(before);
      return {
        gradients: Object.fromEntries(names.map((name, i) => [name, sum(accumulated[name]!, grads[i])])),
        prepared: preparedSums.map((before, i) => sum(before, grads[names.length + i])),
        values: placement.everywhere(value),
      };
    },
    { donate: [0, 7], name: 'gradientPass' },
  );
}

/**
 * Clips the gradients, steps AdamW, moves the average. State and gradients are donated. Where the gradient
 * norm is not finite nothing changes, so that one bad step cannot poison the weights.
 *
 * @param emaRate scalar, 1 − decay; 0 leaves the average alone.
 */
export function optimizerStep(options: AdamWOptions & { maxGradNorm: number }, placement: Placement) {
  return jit(
    function optimizerStep(
      state: TrainState,
      gradients: Params,
      scalars: tf.Tensor1D,
      emaRate: tf.Tensor,
    ): { state: TrainState; norm: tf.Tensor } {
      const clipped = clipByGlobalNorm(gradients, options.maxGradNorm);
      const stepped = adamWUpdate(state.trained, state.optimizer, clipped.gradients, scalars, options);
      const finite = tf.isFinite(clipped.norm);
      const choose = (next: Params, previous: Params) =>
        alike(
          mapParams(next, (value, name) => tf.where(finite, value, previous[name] as tf.Tensor)),
          previous,
        );
      const trained = choose(stepped.params, state.trained);
      return {
        state: {
          trained,
          optimizer: {
            mean: choose(stepped.state.mean, state.optimizer.mean),
            variance: choose(stepped.state.variance, state.optimizer.variance),
          },
          ema: alike(emaUpdate(state.ema, trained, emaRate), state.ema),
        },
        norm: placement.everywhere(clipped.norm),
      };
    },
    { donate: [0, 1], name: 'optimizerStep' },
  );
}

/** Parameters that lie on the devices as those before them. */
const alike = (next: Params, previous: Params): Params =>
  mapParams(next, (value, name) => shardLike(value, previous[name] as tf.Tensor));
