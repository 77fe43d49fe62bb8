import { storageOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { castLike } from './cast';

/**
 * rows Wᵀ + b for rows [n, in], W [out, in] and, where there is one, b [out]. In a narrow storage product and bias are
 * rounded once, together, as PyTorch does.
 */
export function affine(rows: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor | undefined): tf.Tensor {
  if (bias && storageOf(weight) !== 'float32') return fused(rows, weight, bias);
  const product = tf.matMul(rows, weight, false, true);
  return bias ? tf.add(product, bias) : product;
}

/** One kernel, where `tf.fused.matMul` has reshapes around it. */
function fused(rows: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor): tf.Tensor {
  const operation = tf.customGrad((...inputs) => {
    const [a, b, c, save] = inputs as [tf.Tensor, tf.Tensor, tf.Tensor, tf.GradSaveFunc];
    const attributes = { transposeA: false, transposeB: true, activation: 'linear' };
    const value = tf.engine().runKernel('_FusedMatMul', { a, b, bias: c }, attributes) as tf.Tensor;
    save([a, b]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      // Sums over a batch, and what a scan carries, come back as float32: the products would be too.
      const narrow = castLike(dy, saved[1]!);
      return [tf.matMul(narrow, saved[1]!), tf.matMul(narrow, saved[0]!, true), tf.sum(dy, 0)];
    };
    return { value, gradFunc };
  });
  return operation(rows, weight, bias);
}
