/** Checks what a policy's functions return: another shape would be stretched over the batch, and train something else. */
import { tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Policy, Tensors, VelocityResult } from './policy';

const checked = new WeakSet<object>();

/**
 * The policy, whose functions throw where a result does not have the shape and type that {@link Policy} asks for, naming the
 * function, what it returned, and what it must. The checks look at shapes alone and add nothing to a program.
 */
export function checkedPolicy<C, P>(policy: Policy<C, P>): Policy<C, P> {
  if (checked.has(policy)) return policy;
  const { velocityFromFeatures, prepare, untrained, lowRankLayers } = policy;
  const latents = policy.latentShape;
  const wrapped: Policy<C, P> = {
    ...policy,
    // Named one by one: those of a class are not its instance's own.
    params: policy.params,
    trainable: policy.trainable,
    latentShape: latents,
    ...(untrained && { untrained }),
    ...(lowRankLayers !== undefined && { lowRankLayers }),
    encodePrompts: (prompts) => policy.encodePrompts(prompts),
    ...(prepare && { prepare: (call) => prepare.call(policy, call) }),
    velocity(call) {
      const result: unknown = policy.velocity(call);
      if (typeof result !== 'object' || result === null || result instanceof tf.Tensor) {
        throw new Error(
          `policy.velocity returned ${described(result)}: it must return { velocity }, a record with the tensor in it`,
        );
      }
      const { velocity, training, features } = result as Partial<VelocityResult>;
      checkTensor('policy.velocity returned velocity', velocity, call.x.shape, 'the shape of x');
      if (training)
        checkTensor('policy.velocity returned training', training, call.x.shape, 'the shape of x');
      if (features) checkRows(features, call.x.shape[0]!);
      return result as VelocityResult;
    },
    ...(velocityFromFeatures && {
      velocityFromFeatures(call) {
        const velocity = velocityFromFeatures.call(policy, call);
        const shape = [call.t.shape[0]!, ...latents];
        checkTensor('policy.velocityFromFeatures returned', velocity, shape, '[B, ...latentShape]');
        return velocity;
      },
    }),
    decode(x) {
      const images = policy.decode(x);
      checkImages(images, x.shape[0]!);
      return images;
    },
  };
  checked.add(wrapped);
  return wrapped;
}

function checkTensor(who: string, value: unknown, shape: readonly number[], words: string): void {
  if (!(value instanceof tf.Tensor)) throw new Error(`${who} ${described(value)}: it must be a tensor`);
  if (`${value.shape}` !== `${shape}`) {
    throw new Error(`${who} ${described(value)}: it must be [${shape}], ${words}`);
  }
  if (value.dtype !== 'float32') throw new Error(`${who} ${described(value)}: it must be float32`);
}

function checkImages(images: unknown, count: number): void {
  const { shape, dtype } = (images instanceof tf.Tensor ? images : {}) as Partial<tf.Tensor>;
  if (dtype === 'float32' && shape?.length === 4 && shape[0] === count && shape[3] === 3) return;
  throw new Error(
    `policy.decode returned ${described(images)}: it must be float32 [${count}, height, width, 3] in [0, 1]`,
  );
}

function checkRows(features: Tensors, rows: number): void {
  for (const value of tree.leaves(features) as tf.Tensor[]) {
    if (value.shape[0] === rows) continue;
    throw new Error(
      `policy.velocity returned features with ${described(value)}: their first axis must be that of x, ${rows}`,
    );
  }
}

function described(value: unknown): string {
  if (value instanceof tf.Tensor) return `${value.dtype} [${value.shape}]`;
  if (value === undefined || value === null) return 'nothing';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
