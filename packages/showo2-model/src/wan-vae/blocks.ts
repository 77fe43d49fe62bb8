import { castToStorage, conv2d, type Params, param, silu } from '@flow-grpo/nn';
import { scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { causalConv, type History, perFrame } from './convolution';

/**
 * x / ‖x‖ · √C · gamma over the channels (the last axis), in float32. Upstream clamps the norm at 1e-12; squared, that
 * is 1e-24.
 */
export function channelNorm<T extends tf.Tensor>(params: Params, name: string, x: T): T {
  const gamma = tf.reshape(param(params, `${name}.gamma`), [-1]);
  const exact = castToStorage(x, 'float32');
  const squares = tf.sum(tf.square(exact), -1, true);
  const scale = tf.mul(gamma, Math.sqrt(x.shape.at(-1)!));
  return tf.mul(tf.mul(exact, tf.rsqrt(tf.maximum(squares, 1e-24))), scale) as T;
}

/** Norm, SiLU, convolution, twice, beside a shortcut that is 1 × 1 where the width changes. */
export function residualBlock(params: Params, name: string, x: tf.Tensor5D, history?: History): tf.Tensor5D {
  const half = (norm: number, conv: number, h: tf.Tensor5D) => {
    const activated = silu(channelNorm(params, `${name}.residual.${norm}`, h)) as tf.Tensor5D;
    return causalConv(params, `${name}.residual.${conv}`, activated, history);
  };
  const h = half(3, 6, half(0, 2, x));
  const shortcut = `${name}.shortcut` as const;
  return tf.add(h, `${shortcut}.weight` in params ? causalConv(params, shortcut, x) : x);
}

/** Single-head attention over the pixels of each frame. */
export function attentionBlock(params: Params, name: string, x: tf.Tensor5D): tf.Tensor5D {
  return perFrame(x, (frames) => {
    const [count, height, width, channels] = frames.shape;
    const qkv = conv2d(params, `${name}.to_qkv`, channelNorm(params, `${name}.norm`, frames));
    const [q, k, v] = tf.split(tf.reshape(qkv, [count, height * width, 1, 3 * channels]), 3, -1) as [
      tf.Tensor4D,
      tf.Tensor4D,
      tf.Tensor4D,
    ];
    const attended = tf.reshape(scaledDotProductAttention(q, k, v), frames.shape) as tf.Tensor4D;
    return tf.add(frames, conv2d(params, `${name}.proj`, attended));
  });
}
