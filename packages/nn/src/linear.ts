import { storageOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { affine } from './affine';
import { castLike } from './cast';
import { DOWN, SCALE, UP } from './lora/names';
import { optionalParam, type Params, param } from './params';

/**
 * x Wᵀ + b over the last axis with W = `name.weight` [out, in] and, when present, b = `name.bias` [out].
 * Computes in the precision the weight is stored in, where product and bias are rounded once, together. Adds the low-rank
 * path of LoRA, in that precision too, where `name.lora_A.weight` [rank, in], `name.lora_B.weight` [out, rank] and the scalar
 * `name.lora_scale` are present.
 */
export function linear(params: Params, name: string, x: tf.Tensor): tf.Tensor {
  const weight = param(params, `${name}.weight`);
  const inputs = x.shape[x.rank - 1]!;
  if (weight.shape[1] !== inputs) {
    throw new Error(`'${name}.weight' is [${weight.shape}], but its input ends in ${inputs}.`);
  }
  const rows = tf.reshape(castLike(x, weight), [-1, inputs]);
  const bias = `${name}.bias`;
  // A bias added to a product that is rounded already would be rounded a second time.
  const inside = storageOf(weight) !== 'float32' && params[bias] !== undefined;
  let y = affine(rows, weight, inside ? param(params, bias) : undefined);
  const down = optionalParam(params, name + DOWN);
  if (down) {
    const up = castLike(param(params, name + UP), weight);
    const narrow = tf.matMul(rows, castLike(down, weight), false, true);
    const product = tf.mul(tf.matMul(narrow, up, false, true), param(params, name + SCALE));
    y = castLike(tf.add(y, product), weight);
  }
  const outside = inside ? undefined : optionalParam(params, bias);
  if (outside) y = tf.add(y, outside);
  return tf.reshape(y, [...x.shape.slice(0, -1), weight.shape[0]!]);
}
