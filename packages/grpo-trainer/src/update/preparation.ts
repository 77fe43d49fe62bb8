/** What depends on the prompts and the weights alone, computed once per update instead of once per gradient pass. */
import { castToStorage } from '@flow-grpo/nn';
import { jit, shardLike, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { mapParams } from '../maths/adamw';
import { addedToOwn } from '../per-device';
import type { Placement } from '../placement';
import type { Params, Policy, Purpose, Tensors } from '../policy';
import { gradientsWhereReached } from './gradients';

/** What a policy prepared, of the trained weights and of each copy that the loss looks at. */
export type Prepared = { readonly trained: Tensors } & Readonly<Record<string, Tensors>>;

/** The tensors of it that gradients flow to. */
export const differentiable = (prepared: Tensors): tf.Tensor[] =>
  tree.leaves(prepared).filter(({ dtype }) => dtype === 'float32');

/** Runs `prepare` of a policy for the passes to come; its tensors are on all devices. */
export function preparePass<C, P>(prepare: NonNullable<Policy<C, P>['prepare']>, placement: Placement) {
  return jit(
    (weights: Params, condition: C, purpose: Purpose): Tensors =>
      placement.replicate(prepare({ trained: weights, condition, purpose }) as Tensors),
    { name: 'prepare' },
  );
}

/** Zeros for the sums of the gradients of what was prepared. */
export function zeroPrepared(placement: Placement) {
  return jit(
    (prepared: Tensors): tf.Tensor[] =>
      differentiable(prepared).map(
        ({ shape }) => placement.perDevice?.zeros(shape) ?? placement.replicate(tf.fill(shape, 0)),
      ),
    { name: 'zeroPrepared' },
  );
}

/**
 * Adds to `gradients`, which are donated, what flows to the weights through what was prepared.
 *
 * @param reachedWeights names of the weights that the passes reach by themselves, known once one was traced
 * @throws when a weight has no effect on the loss, naming it.
 */
export function prepareGradients<C, P>(
  prepare: NonNullable<Policy<C, P>['prepare']>,
  reachedWeights: ReadonlySet<string>,
  { perDevice }: Placement,
) {
  /** What flows to the weights, by name. */
  const flowing = (trained: Params, condition: C, upstream: readonly tf.Tensor[]) => {
    const names = Object.keys(trained);
    const f = () => {
      const made = differentiable(prepare({ trained, condition, purpose: 'training' }) as Tensors);
      return tf.addN(
        made.map((value, i) =>
          tf.sum(tf.mul(castToStorage(value, 'float32'), tf.reshape(upstream[i]!, value.shape))),
        ),
      );
    };
    const { grads } = gradientsWhereReached(f, Object.values(trained));
    refuseUnreached(names.filter((name, i) => !grads[i] && !reachedWeights.has(name)));
    return Object.fromEntries(names.map((name, i) => [name, grads[i]]));
  };
  return jit(
    function prepareGradients(
      gradients: Params,
      trained: Params,
      condition: C,
      upstream: readonly tf.Tensor[],
    ): Params {
      if (perDevice) {
        // Each device has summed what its own rows say, and carries that on.
        const [sums] = perDevice.run(
          (_, before: Params, weights: Params, given: C, own: readonly tf.Tensor[]) => {
            const found = flowing(weights, given, own);
            return [mapParams(before, (sum, name) => addedToOwn(sum, found[name]))];
          },
          ['split', 'whole', 'whole', 'split'],
          ['split'],
        )(gradients, trained, condition, upstream);
        return sums!;
      }
      const found = flowing(trained, condition, upstream);
      return mapParams(gradients, (before, name) => {
        const own = found[name];
        return own ? shardLike(tf.add(before, shardLike(own, before)), before) : tf.clone(before);
      });
    },
    { donate: [0, 3], name: 'prepareGradients' },
  );
}

/** @throws when there is any, naming them. */
export function refuseUnreached(names: readonly string[]): void {
  if (names.length === 0) return;
  const some = `${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''}`;
  throw new Error(
    `${names.length} weights that train have no effect on the loss: ${some}; leave them out of policy.trainable (setup.train)`,
  );
}
