import { expectClose } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  decodeImage,
  decodeImageTiled,
  encodeImage,
  encodeImageTiled,
  initVaeParams,
  WAN21_VAE,
  type WanVaeConfig,
} from '../src/wan-vae/index';

const small: WanVaeConfig = {
  ...WAN21_VAE,
  dim: 2,
  multipliers: [1, 2],
  residualBlocks: 1,
  temporalDownsample: [false],
};
const latents = (height: number, width: number) =>
  tf.randomNormal([1, height, width, 16], 0, 1, 'float32', 4) as tf.Tensor4D;
const columns = (image: tf.Tensor4D, from: number, to: number) =>
  tf.slice(image, [0, 0, from, 0], [-1, -1, to - from, -1]).dataSync();

describe('tiling', () => {
  it('leaves what fits one tile whole', () => {
    const params = initVaeParams(small, 1);
    const z = latents(4, 6);
    const whole = decodeImage(params, small, z);
    expect(decodeImageTiled(params, small, z).dataSync()).toEqual(whole.dataSync());
  });

  it('gives every pixel a total share of one', () => {
    const params = initVaeParams(small, 1);
    const flat = Object.fromEntries(
      Object.entries(params).map(([name, tensor]) => [
        name,
        name === 'decoder.head.2.bias' ? tf.ones(tensor.shape) : tf.zeros(tensor.shape),
      ]),
    );
    const image = decodeImageTiled(flat, small, latents(9, 14), { tile: 8, overlap: 4 });
    expect(image.shape).toEqual([1, 18, 28, 3]);
    expectClose(image.dataSync(), new Float32Array(image.size).fill(1), 1e-6);
  });

  // New attention adds nothing, so that a tile's inside sees all it depends on.
  it('is the whole decode and encode away from the seams', () => {
    const params = initVaeParams(small, 1);
    const options = { tile: 96, overlap: 64 };
    const z = latents(4, 64);
    const whole = decodeImage(params, small, z);
    const tiled = decodeImageTiled(params, small, z, options);
    expect(tiled.shape).toEqual(whole.shape);
    for (const [from, to] of [
      [0, 32],
      [96, 128],
    ] as const) {
      expectClose(columns(tiled, from, to), columns(whole, from, to), 1e-5);
    }
    const encoded = encodeImageTiled(params, small, whole, options);
    const expected = encodeImage(params, small, whole);
    expect(encoded.shape).toEqual(expected.shape);
    for (const [from, to] of [
      [0, 16],
      [48, 64],
    ] as const) {
      expectClose(columns(encoded, from, to), columns(expected, from, to), 1e-5);
    }
  });

  it('keeps no tensor but the result', () => {
    const params = initVaeParams(small, 1);
    const z = latents(6, 6);
    const before = tf.memory().numTensors;
    tf.tidy(() => decodeImageTiled(params, small, z, { tile: 8, overlap: 4 })).dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('says which sizes it takes', () => {
    const params = initVaeParams(small, 1);
    expect(() => decodeImageTiled(params, small, latents(4, 4), { tile: 7 })).toThrow(/multiples of 2/);
    expect(() => decodeImageTiled(params, small, latents(4, 4), { tile: 8, overlap: 8 })).toThrow(/overlap/);
  });
});
