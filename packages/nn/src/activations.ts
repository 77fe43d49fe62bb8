import * as tf from '@tensorflow/tfjs-core';
import { castLike, castToStorage } from './cast';

/**
 * x · sigmoid(x), computed in float32 and stored as `x` is, and so is its gradient; only `x` is kept for the backward pass.
 * Otherwise the products behind it would run in float32.
 */
export function silu<T extends tf.Tensor>(x: T): T {
  return siluWithGradient(x) as T;
}

const siluWithGradient = tf.customGrad((input, save) => {
  const x = input as tf.Tensor;
  (save as tf.GradSaveFunc)([x]);
  const wide = castToStorage(x, 'float32');
  return {
    value: castLike(tf.mul(wide, tf.sigmoid(wide)), x),
    gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const kept = castToStorage(saved[0]!, 'float32');
      const gate = tf.sigmoid(kept);
      const slope = tf.mul(gate, tf.add(tf.mul(kept, tf.sub(1, gate)), 1));
      return castLike(tf.mul(castToStorage(dy, 'float32'), slope), saved[0]!);
    },
  };
});

/** The exact GELU, x · Φ(x) with the error function (PyTorch's default). */
export function gelu<T extends tf.Tensor>(x: T): T {
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)) as T;
}

/** GELU's tanh approximation (Hendrycks and Gimpel; `gelu_pytorch_tanh` in SigLIP). In float32, the cube too. */
export function geluTanh<T extends tf.Tensor>(given: T): T {
  const x = castToStorage(given, 'float32');
  const cubic = tf.mul(tf.mul(tf.mul(x, x), x), 0.044715);
  const inner = tf.mul(tf.add(x, cubic), Math.sqrt(2 / Math.PI));
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1)) as T;
}

/** x · sigmoid(1.702 x), the approximation of OpenAI's CLIP. */
export function quickGelu<T extends tf.Tensor>(x: T): T {
  return tf.mul(x, tf.sigmoid(tf.mul(x, 1.702))) as T;
}
