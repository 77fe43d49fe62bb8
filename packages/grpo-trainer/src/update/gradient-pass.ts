/** The executables of a gradient pass, and of what an algorithm measures. */
import { castToStorage } from '@flow-grpo/nn';
import { jit, shardLike } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { ConfiguredAlgorithm } from '../algorithms/algorithm';
import type { Pass, PassRows } from '../algorithms/pass';
import { mapParams } from '../maths/adamw';
import { addedToOwn, overDevices } from '../per-device';
import type { Placement } from '../placement';
import type { Params, Policy } from '../policy';
import type { EpochSamples } from '../rollout/samples';
import { gradientsWhereReached } from './gradients';
import { ownPass, passOf, splitArguments } from './pass-of';
import { differentiable, type Prepared, refuseUnreached } from './preparation';

/** Zeros for the first pass of an update to add to: like the weights, or one such sum per device. */
export function zeroGradients({ perDevice }: Pick<Placement, 'perDevice'> = {}) {
  return jit(
    (trained: Params): Params =>
      mapParams(trained, (value) =>
        perDevice ? perDevice.zeros(value.shape) : shardLike(tf.zerosLike(value), value),
      ),
    { name: 'zeroGradients' },
  );
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
      const { perDevice } = placement;
      if (!perDevice) {
        const pass = passOf(policy, algorithm, placement, weights, condition, samples, rows, prepared);
        return placement.shardBatch({ ...algorithm.measure!(pass) });
      }
      const { whole, split } = splitArguments(weights, condition, samples, rows, prepared);
      const [measured] = perDevice.run(
        (own, some: typeof whole, parts: typeof split) => [
          { ...algorithm.measure!(ownPass(policy, algorithm, own, some, parts)) },
        ],
        ['whole', 'split'],
        ['split'],
      )(whole, split);
      return measured!;
    },
    { name: 'measurePass' },
  );
}

/**
 * Adds the gradients of one pass to `accumulated`, which are donated, and with `prepared` those of what was prepared to its
 * sums, donated too; without it, what depends on the prompts alone is part of the pass. Where the placement is per device,
 * each device adds those of its rows to its own sums.
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
  const metrics = Object.entries(algorithm.metrics);
  const stepNames = algorithm.perStep ?? [];
  const scalars = 1 + metrics.length;

  /** Values [n] of `pass`, and their first one's gradients by the weights and by what was prepared. */
  const differentiate = (pass: Pass, trained: Params, prepared: Prepared | undefined) => {
    const names = Object.keys(trained);
    const f = () => {
      const { loss, metrics: given, perStep = {} } = algorithm.loss(pass);
      const numbers = [loss, ...metrics.map(([name]) => metricOf(given, name))];
      const values = stepNames.map((name) => tf.reshape(metricOf(perStep, name), [-1]));
      return tf.concat([...numbers.map((value) => tf.reshape(value, [1])), ...values]);
    };
    // Only the loss is differentiated: the metrics ride along with a zero upstream gradient.
    // Not by tf.oneHot, whose float32 is a denormal number on WebAssembly.
    const points = pass.rows.shape[0]! * (pass.steps?.shape[0] ?? algorithm.pointsPerImage);
    const others = metrics.length + stepNames.length * points;
    const upstream = tf.concat([tf.ones([1]), tf.zeros([others])]);
    const leaves = prepared ? differentiable(prepared.trained) : [];
    const { value, grads } = gradientsWhereReached(f, [...Object.values(trained), ...leaves], upstream);
    const reached = names.filter((_, i) => grads[i]);
    for (const name of reached) reachedWeights.add(name);
    if (!prepared) refuseUnreached(names.filter((name) => !reached.includes(name)));
    return {
      value,
      ofWeights: names.map((name, i) => [name, grads[i]] as const),
      ofPrepared: grads.slice(names.length),
    };
  };

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
      const weights = { trained, copies };
      const { perDevice } = placement;
      if (!perDevice) {
        const pass = passOf(policy, algorithm, placement, weights, condition, samples, rows, prepared);
        const { value, ofWeights, ofPrepared } = differentiate(pass, trained, prepared);
        return {
          gradients: Object.fromEntries(
            ofWeights.map(([name, own]) => [name, added(accumulated[name]!, own)]),
          ),
          prepared: preparedSums.map((before, i) => added(before, ofPrepared[i])),
          values: placement.replicate(value),
        };
      }
      const { whole, split } = splitArguments(weights, condition, samples, rows, prepared);
      const isMax = [false, ...metrics.map(([, how]) => how === 'max')];
      const [sums, numbers, perStep] = perDevice.run(
        (
          own,
          before: { gradients: Params; prepared: readonly tf.Tensor[] },
          some: typeof whole,
          parts: typeof split,
        ) => {
          const pass = ownPass(policy, algorithm, own, some, parts);
          const { value, ofWeights, ofPrepared } = differentiate(pass, some.trained, some.prepared);
          const each = (value.size - scalars) / Math.max(1, stepNames.length);
          return [
            {
              gradients: Object.fromEntries(
                ofWeights.map(([name, gradient]) => [name, addedToOwn(before.gradients[name]!, gradient)]),
              ),
              prepared: before.prepared.map((sum, i) => addedToOwn(sum, ofPrepared[i])),
            },
            overDevices(tf.slice(value, 0, scalars), isMax),
            stepNames.map((_, i) => tf.slice(value, scalars + i * each, each)),
          ];
        },
        ['split', 'whole', 'split'],
        ['split', 'whole', 'split'],
      )({ gradients: accumulated, prepared: preparedSums }, whole, split);
      return { ...sums, values: placement.replicate(tf.concat([numbers, ...perStep])) };
    },
    { donate: [0, 7], name: 'gradientPass' },
  );
}

/** A sum and a gradient, laid out like the sum. */
const added = (before: tf.Tensor, gradient: tf.Tensor | undefined): tf.Tensor =>
  gradient
    ? shardLike(tf.add(before, shardLike(castToStorage(gradient, 'float32'), before)), before)
    : tf.clone(before);

function metricOf(metrics: Readonly<Record<string, tf.Tensor>>, name: string): tf.Tensor {
  const value = metrics[name];
  if (!value) throw new Error(`the algorithm's loss gave no metric ${name}, which its metrics list`);
  return value;
}
