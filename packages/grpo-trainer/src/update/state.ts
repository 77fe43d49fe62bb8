/** Everything that training changes, and how it begins. Float32, whatever the policy computes in. */
import { shardLike, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { ConfiguredAlgorithm, WeightCopy } from '../algorithms/algorithm';
import type { GrpoConfig } from '../config/schema';
import { type AdamWState, mapParams } from '../maths/adamw';
import type { Placement } from '../placement';
import { type Params, type Policy, trainableParams } from '../policy';

/** Weights, moments and average: what an optimizer step changes whatever trains. */
export type OptimizerState = {
  readonly trained: Params;
  readonly optimizer: AdamWState;
  readonly ema: Params;
};

export type TrainState = OptimizerState & {
  /** The algorithm's copies of the weights, by name. */
  readonly copies: Readonly<Record<string, Params>>;
};

/** The state of a run that starts: the weights, zero moments, an average equal to the weights; placed like these. */
export function initialOptimizerState(trained: Params): OptimizerState {
  const zeros = () => mapParams(trained, (value) => tf.zerosLike(value));
  return {
    trained: mapParams(trained, copyTensor),
    optimizer: { mean: zeros(), variance: zeros() },
    ema: mapParams(trained, copyTensor),
  };
}

/** The policy's trainable weights, copied and where they will train. */
export function placedWeights(policy: Pick<Policy, 'params' | 'trainable'>, placement: Placement): Params {
  return trainableParams(policy, (value, name) => {
    const own = copyTensor(value);
    const placed = placement.parameters({ [name]: own })[name]!;
    if (placed !== own) own.dispose();
    return placed;
  });
}

/** The weights that draw an epoch's images: those that train, or a copy. */
export function drawingWeights(
  { rollout: { weights } }: Pick<ConfiguredAlgorithm, 'rollout'>,
  { trained, copies }: Pick<TrainState, 'trained' | 'copies'>,
): Params {
  const drawing = weights === undefined ? trained : copies[weights];
  if (!drawing) throw new Error(`the algorithm samples with a copy ${weights} that it does not have`);
  return drawing;
}

/** The weights that evaluations draw with: the average where there is one. */
export const evaluatedWeights = (
  { ema }: Pick<GrpoConfig, 'ema'>,
  state: Pick<TrainState, 'trained' | 'ema'>,
) => (ema.enabled ? state.ema : state.trained);

/**
 * The copies of an algorithm, each equal to the policy's weights unless `saved` has it. One that never moves is the policy's
 * `untrained` where there is one.
 *
 * @param start the policy's weights, made where a copy needs them; they stay the caller's
 * @param saved those of a checkpoint, by name
 */
export function initialCopies(
  copies: Readonly<Record<string, WeightCopy>>,
  { untrained }: Pick<Policy, 'untrained'>,
  start: () => Params,
  saved: Readonly<Record<string, Params>> = {},
): Record<string, Params> {
  const fixed = (copy: WeightCopy) => (copy.moves === 'never' ? untrained : undefined);
  return Object.fromEntries(
    Object.entries(copies).map(([name, copy]) => [
      name,
      saved[name] ?? mapParams(fixed(copy) ?? start(), copyTensor),
    ]),
  );
}

/** The copies that are part of a checkpoint: those that move. */
export function movingCopies<T>(
  copies: Readonly<Record<string, WeightCopy>>,
  values: Readonly<Record<string, T>>,
): Record<string, T> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => copies[name]?.moves !== 'never'));
}

/** Whether the weights are still there: an update that fails takes them along once it has changed them. */
export const isWhole = (state: TrainState): boolean =>
  tree.leaves(state).every((tensor) => !tensor.isDisposed);

/** A tensor of its own with the same bits, so that donating one leaves the other alone. */
export function copyTensor(value: tf.Tensor): tf.Tensor {
  return tf.tidy(() => shardLike(tf.mul(value, 1), value));
}
