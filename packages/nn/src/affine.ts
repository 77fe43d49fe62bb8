import { storageOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';

/**
 * rows Wᵀ + b for rows [n, in], W [out, in] and, where there is one, b [out]. In a narrow storage product and bias are
 * rounded once, together, as PyTorch does.
 */
export function affine(rows: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor | undefined): tf.Tensor {
  if (bias && storageOf(weight) !== 'float32')
    return tf.fused.matMul({ a: rows, b: weight, transposeB: true, bias });
  const product = tf.matMul(rows, weight, false, true);
  return bias ? tf.add(product, bias) : product;
}
