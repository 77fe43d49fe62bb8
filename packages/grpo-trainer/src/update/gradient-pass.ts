/** The executable of a gradient pass. */
import { castToStorage, stopGradient } from '@flow-grpo/nn';
import { jit, shardLike } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { ConfiguredAlgorithm } from '../algorithms/algorithm';
import type { Pass, PassRows } from '../algorithms/pass';
import type { Placement } from '../devices';
import { mapParams } from '../maths/adamw';
import type { Params, Policy } from '../policy';
import type { EpochSamples } from '../rollout/samples';
import { gradientsWhereReached } from './gradients';
import { differentiable, type Prepared, refuseUnreached } from './preparation';

/** Weights that velocities can be asked of. */
export interface PassWeights {
  readonly trained: Params;
  readonly copies: Readonly<Record<string, Params>>;
}

/** Zeros like the weights, placed like them, for the first pass of an update to add to. */
export function zeroGradients() {
  return jit(
    (trained: Params): Params => mapParams(trained, (value) => shardLike(tf.zerosLike(value), value)),
    { name: 'zeroGradients' },
  );
}

/** The pass that an algorithm's loss is given. What was prepared is used; without it it is prepared here. */
export function passOf<C, P>(
  policy: Policy<C, P>,
  algorithm: Pick<ConfiguredAlgorithm, 'copies'>,
  placement: Placement,
  { trained, copies }: PassWeights,
  condition: C,
  samples: EpochSamples,
  rows: PassRows,
  ready?: Prepared,
): Pass {
  const velocity: Pass['velocity'] = (name, points) => {
    const isTrained = name === 'trained';
    const weights = isTrained ? trained : copies[name];
    if (!weights) throw new Error(`the algorithm has no copy of the weights called ${name}`);
    const purpose = (isTrained ? undefined : algorithm.copies?.[name]?.purpose) ?? 'training';
    const { x, t, features, prompts } = points;
    const compute = () => {
      const prepared = (ready?.[name] ?? policy.prepare?.({ trained: weights, condition, purpose })) as P;
      const call = { trained: weights, t, condition, rows: prompts, prepared };
      return policy.velocityFromFeatures && features && purpose === 'training'
        ? policy.velocityFromFeatures({ ...call, features })
        : policy.velocity({ ...call, x, purpose }).velocity;
    };
    return isTrained ? compute() : stopGradient(compute);
  };
  return { ...rows, samples, placement, velocity };
}

/**
 * Adds the gradients of one pass to `accumulated`, which are donated, and with `prepared` those of what was prepared to its
 * sums, donated too; without it, what depends on the prompts alone is part of the pass.
 *
 * @param reachedWeights gets the names of the weights that a pass with `prepared` reaches by itself
 * @returns the sums, and [loss, ...metrics] of the pass.
 * @throws when a weight has no effect on the loss, naming it.
 */
export function gradientPass<C, P>(
  policy: Policy<C, P>,
  algorithm: ConfiguredAlgorithm,
  placement: Placement,
  reachedWeights = new Set<string>(),
) {
  const metricNames = Object.keys(algorithm.metrics);
  return jit(
    function gradientPass(
      accumulated: Params,
      trained: Params,
      copies: Readonly<Record<string, Params>>,
      condition: C,
      samples: EpochSamples,
      rows: PassRows,
      prepared?: Prepared,
      preparedSums: readonly tf.Tensor[] = [],
    ): { gradients: Params; prepared: tf.Tensor[]; values: tf.Tensor } {
      const names = Object.keys(trained);
      const f = () => {
        const weights = { trained, copies };
        const pass = passOf(policy, algorithm, placement, weights, condition, samples, rows, prepared);
        const { loss, metrics } = algorithm.loss(pass);
        const values = [loss, ...metricNames.map((name) => metricOf(metrics, name))];
        return tf.stack(values.map((value) => tf.reshape(value, [])));
      };
      // Only the loss is differentiated: the metrics ride along with a zero upstream gradient.
      const upstream = tf.oneHot(tf.scalar(0, 'int32'), metricNames.length + 1, 1, 0, 'float32');
      const leaves = prepared ? differentiable(prepared.trained) : [];
      const { value, grads } = gradientsWhereReached(
        f,
        [...Object.values(trained), ...leaves],
        tf.reshape(upstream, [-1]),
      );
      const reached = names.filter((_, i) => grads[i]);
      for (const name of reached) reachedWeights.add(name);
      if (!prepared) refuseUnreached(names.filter((name) => !reached.includes(name)));
      const sum = (before: tf.Tensor, gradient: tf.Tensor | undefined) =>
        gradient
          ? shardLike(tf.add(before, shardLike(castToStorage(gradient, 'float32'), before)), before)
          : tf.clone(before);
      return {
        gradients: Object.fromEntries(names.map((name, i) => [name, sum(accumulated[name]!, grads[i])])),
        prepared: preparedSums.map((before, i) => sum(before, grads[names.length + i])),
        values: placement.replicate(value),
      };
    },
    { donate: [0, 7], name: 'gradientPass' },
  );
}

function metricOf(metrics: Readonly<Record<string, tf.Tensor>>, name: string): tf.Tensor {
  const value = metrics[name];
  if (!value) throw new Error(`the algorithm's loss gave no metric ${name}, which its metrics list`);
  return value;
}
