import * as tf from '@tensorflow/tfjs-core';
import { castLike, castToStorage } from './cast';

/** Llama 3's frequency scaling: waves longer than the original context are slowed down by `factor`. */
export interface Llama3Scaling {
  factor: number;
  lowFreqFactor: number;
  highFreqFactor: number;
  originalMaxPositions: number;
}

/**
 * Rotary frequencies theta^(-2i/dim), [dim / 2], as float32 (Su et al. 2021). With `scaling`, as in Llama 3.1: waves
 * below the high-frequency bound stay, those above the low-frequency bound are divided by `factor`, and those between
 * are blended.
 */
export function rotaryFrequencies(dim: number, theta: number, scaling?: Llama3Scaling): Float32Array {
  if (dim % 2 !== 0) throw new Error(`Rotary embedding needs an even head size, got ${dim}.`);
  return Float32Array.from({ length: dim / 2 }, (_, i) => {
    const frequency = Math.fround(1 / theta ** ((2 * i) / dim));
    if (!scaling) return frequency;
    const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling;
    const wave = (2 * Math.PI) / frequency;
    if (wave < originalMaxPositions / highFreqFactor) return frequency;
    if (wave > originalMaxPositions / lowFreqFactor) return frequency / factor;
    const blend = (originalMaxPositions / wave - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return ((1 - blend) * frequency) / factor + blend * frequency;
  });
}

/** Cosines and sines [B, T, 1, dim / 2] (B may be 1) of positions times frequencies. */
export type RotaryTables = {
  cos: tf.Tensor;
  sin: tf.Tensor;
};

/** Tables of `positions`, [T] or [B, T], any numeric type. Positions may be tensors that are only known in a jit. */
export function rotaryTables(positions: tf.Tensor, frequencies: Float32Array): RotaryTables {
  const length = positions.shape[positions.rank - 1]!;
  const rows = positions.rank === 1 ? 1 : positions.shape[0]!;
  const column = tf.reshape(tf.cast(positions, 'float32'), [rows, length, 1, 1]);
  const angles = tf.mul(column, tf.tensor(frequencies, [1, 1, 1, frequencies.length]));
  return { cos: tf.cos(angles), sin: tf.sin(angles) };
}

/** Rotary embedding of `x` [B, T, N, D] in the rotate-half layout: pairs are the two halves of the last axis. */
export function applyRotary(x: tf.Tensor, { cos, sin }: RotaryTables): tf.Tensor {
  const [first, second] = tf.split(x, 2, 3) as [tf.Tensor, tf.Tensor];
  const turned = tf.concat(
    [tf.sub(tf.mul(first, cos), tf.mul(second, sin)), tf.add(tf.mul(second, cos), tf.mul(first, sin))],
    3,
  );
  return castLike(turned, x);
}

/**
 * Rotary embedding of `x` [B, T, N, D] in the interleaved layout: pairs are neighbours (2i, 2i + 1) of the last axis, as in
 * Meta's Llama code and in complex numbers. In float32.
 */
export function applyRotaryPairs(x: tf.Tensor, { cos, sin }: RotaryTables): tf.Tensor {
  const [batch, length, heads, size] = x.shape as [number, number, number, number];
  const pairs = tf.reshape(castToStorage(x, 'float32'), [batch * length * heads, size / 2, 2]);
  const [first, second] = tf
    .split(pairs, 2, 2)
    .map((part) => tf.reshape(part, [batch, length, heads, size / 2])) as [tf.Tensor, tf.Tensor];
  const turned = [
    tf.sub(tf.mul(first, cos), tf.mul(second, sin)),
    tf.add(tf.mul(first, sin), tf.mul(second, cos)),
  ].map((part) => tf.reshape(part, [batch * length * heads, size / 2, 1]));
  return castLike(tf.reshape(tf.concat(turned, 2), x.shape), x);
}
