/** The executable of a gradient pass. */
import { castToStorage, stopGradient } from '@flow-grpo/nn';
import { jit, shardLike } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { ConfiguredAlgorithm } from '../algorithms/algorithm';
import type { Pass, PassRows } from '../algorithms/pass';
import type { Placement } from '../devices';
import { detach } from '../losses/rows';
import { mapParams } from '../maths/adamw';
import type { Params, Policy, Tensors } from '../policy';
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
  // What a frozen trunk makes of points is the same whatever the weights behind it: it runs once for all of them.
  const kept = new Map<tf.Tensor, Tensors>();
  const velocity: Pass['velocity'] = (name, points) => {
    const isTrained = name === 'trained';
    const weights = isTrained ? trained : copies[name];
    if (!weights) throw new Error(`the algorithm has no copy of the weights called ${name}`);
    const purpose = (isTrained ? undefined : algorithm.copies?.[name]?.purpose) ?? 'training';
    const { x, t, prompts } = points;
    const features = points.features ?? kept.get(x);
    const compute = () => {
      const prepared = (ready?.[name] ?? policy.prepare?.({ trained: weights, condition, purpose })) as P;
      const call = { trained: weights, t, condition, rows: prompts, prepared };
      if (policy.velocityFromFeatures && features && purpose === 'training') {
        return policy.velocityFromFeatures({ ...call, features });
      }
      const result = policy.velocity({ ...call, x, purpose });
      // A copy's are made where gradients stop, and gone after it.
      if (isTrained && result.features) kept.set(x, result.features);
      return result.velocity;
    };
    return isTrained ? compute() : stopGradient(compute);
  };
  const before: Pass['before'] = (name, value) => {
    const change = rows.changes?.[name];
    return change ? tf.sub(detach(value), change) : detach(value);
  };
  return { ...rows, samples, placement, velocity, before };
}

/** What the algorithm measures of the trained weights, in a program of its own that is the same before and after updates. */
export function measurePass<C, P>(
  policy: Policy<C, P>,
  algorithm: ConfiguredAlgorithm,
  placement: Placement,
) {
  return jit(
    function measurePass(
      trained: Params,
      condition: C,
      samples: EpochSamples,
      rows: PassRows,
      prepared?: Prepared,
    ): Readonly<Record<string, tf.Tensor>> {
      const weights = { trained, copies: {} };
      const pass = passOf(policy, algorithm, placement, weights, condition, samples, rows, prepared);
      return placement.shardBatch({ ...algorithm.measure!(pass) });
    },
    { name: 'measurePass' },
  );
}

/**
 * Adds the gradients of one pass to `accumulated`, which are donated, and with `prepared` those of what was prepared to its
 * sums, donated too; without it, what depends on the prompts alone is part of the pass.
 *
 * @param reachedWeights gets the names of the weights that a pass with `prepared` reaches by itself
 * @returns the sums, and [loss, ...metrics] of the pass, followed by what is reported per step, point by point.
 * @throws when a weight has no effect on the loss, naming it.
 */
export function gradientPass<C, P>(
  policy: Policy<C, P>,
  algorithm: ConfiguredAlgorithm,
  placement: Placement,
  reachedWeights = new Set<string>(),
) {
  const metricNames = Object.keys(algorithm.metrics);
  const stepNames = algorithm.perStep ?? [];
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
        const { loss, metrics, perStep = {} } = algorithm.loss(pass);
        const scalars = [loss, ...metricNames.map((name) => metricOf(metrics, name))];
        const values = stepNames.map((name) => tf.reshape(metricOf(perStep, name), [-1]));
        return tf.concat([...scalars.map((value) => tf.reshape(value, [1])), ...values]);
      };
      // Only the loss is differentiated: the metrics ride along with a zero upstream gradient.
      // Not by tf.oneHot, whose float32 is a denormal number on WebAssembly.
      const points = rows.rows.shape[0]! * (rows.steps?.shape[0] ?? algorithm.pointsPerImage);
      const others = metricNames.length + stepNames.length * points;
      const upstream = tf.concat([tf.ones([1]), tf.zeros([others])]);
      const leaves = prepared ? differentiable(prepared.trained) : [];
      const { value, grads } = gradientsWhereReached(f, [...Object.values(trained), ...leaves], upstream);
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
