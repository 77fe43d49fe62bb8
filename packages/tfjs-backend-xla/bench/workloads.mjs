/** The same work for every engine: names, sizes, floating-point operations and functions of tfjs tensors. */
import * as tf from '@tensorflow/tfjs-core';

export const BLOCK = { batch: 8, length: 128, width: 256, heads: 4, hidden: 1024, layers: 4 };

const layerNorm = (x, gain, bias) => {
  const mean = tf.mean(x, -1, true);
  const centered = tf.sub(x, mean);
  const variance = tf.mean(tf.square(centered), -1, true);
  return tf.add(tf.mul(tf.mul(centered, tf.rsqrt(tf.add(variance, 1e-5))), gain), bias);
};

function blockLayer(x, [gain1, bias1, wq, wk, wv, wo, gain2, bias2, up, down]) {
  const { batch, length, width, heads } = BLOCK;
  const flat = [batch * length, width];
  const normed = tf.reshape(layerNorm(x, gain1, bias1), flat);
  const split = (w) =>
    tf.transpose(tf.reshape(tf.matMul(normed, w), [batch, length, heads, width / heads]), [0, 2, 1, 3]);
  const scores = tf.mul(tf.matMul(split(wq), split(wk), false, true), 1 / Math.sqrt(width / heads));
  const mixed = tf.transpose(tf.matMul(tf.softmax(scores), split(wv)), [0, 2, 1, 3]);
  const attended = tf.add(x, tf.reshape(tf.matMul(tf.reshape(mixed, flat), wo), x.shape));
  const h = tf.matMul(tf.reshape(layerNorm(attended, gain2, bias2), flat), up);
  return tf.add(attended, tf.reshape(tf.matMul(tf.mul(h, tf.sigmoid(h)), down), x.shape));
}

const { batch, length, width, hidden, layers } = BLOCK;
const layerShapes = [
  [width],
  [width],
  ...Array(4).fill([width, width]),
  [width],
  [width],
  [width, hidden],
  [hidden, width],
];
const layerFlops = 2 * batch * length * (4 * width * width + 2 * length * width + 2 * width * hidden);

/** `flops` is undefined where memory, not arithmetic, is the limit. */
export const workloads = [
  {
    name: 'matmul 1024×1024×1024',
    shapes: [
      [1024, 1024],
      [1024, 1024],
    ],
    flops: 2 * 1024 ** 3,
    run: ([a, b]) => [tf.matMul(a, b)],
  },
  {
    name: 'conv2d 8×56×56×64, 3×3×64',
    shapes: [
      [8, 56, 56, 64],
      [3, 3, 64, 64],
    ],
    flops: 2 * 8 * 56 * 56 * 64 * 64 * 9,
    run: ([x, w]) => [tf.conv2d(x, w, 1, 'same')],
  },
  { name: 'softmax 4096×1024', shapes: [[4096, 1024]], run: ([x]) => [tf.softmax(x)] },
  {
    name: 'layer norm 8192×512',
    shapes: [[8192, 512], [512], [512]],
    run: ([x, gain, bias]) => [layerNorm(x, gain, bias)],
  },
  {
    name: `transformer block ×${layers}, forward and backward`,
    shapes: [[batch, length, width], ...Array(layers).fill(layerShapes).flat()],
    flops: 3 * layers * layerFlops,
    run: (inputs) => {
      const loss = (x, ...weights) => {
        let h = x;
        for (let l = 0; l < layers; l++) h = blockLayer(h, weights.slice(l * 10, l * 10 + 10));
        return tf.mean(tf.square(h));
      };
      const { value, grads } = tf.valueAndGrads(loss)(inputs);
      return [value, ...grads];
    },
  },
];

/** Deterministic small numbers. */
export const fill = (size, seed) =>
  Float32Array.from({ length: size }, (_, i) => Math.sin(i * 12.9898 + seed * 78.233) * 0.05);
