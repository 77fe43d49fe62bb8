import { expectClose } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  decodeImage,
  encodeImage,
  encodeVideo,
  initVaeParams,
  parseVaeConfig,
  vaeConfigJson,
  WAN21_VAE,
  type WanVaeConfig,
} from '../src/index';

const small: WanVaeConfig = {
  ...WAN21_VAE,
  dim: 4,
  multipliers: [1, 2],
  residualBlocks: 1,
  temporalDownsample: [true],
};

describe('WanVAE', () => {
  it('gives one image the frame that a video starts with', () => {
    const params = initVaeParams(small, 3);
    const video = tf.randomNormal([2, 3, 8, 4, 3], 0, 1, 'float32', 5) as tf.Tensor5D;
    const first = tf.squeeze(tf.slice(video, [0, 0, 0, 0, 0], [-1, 1, -1, -1, -1]), [1]) as tf.Tensor4D;
    const all = encodeVideo(params, small, video).mean;
    const ofVideo = tf.slice(all, [0, 0, 0, 0, 0], [-1, 1, -1, -1, -1]);
    expectClose(encodeImage(params, small, first).dataSync(), ofVideo.dataSync(), 1e-5);
  });

  it('has a gradient for every parameter that an image meets', () => {
    const params = initVaeParams(small, 3);
    const image = tf.randomNormal([1, 8, 4, 3], 0, 1, 'float32', 7) as tf.Tensor4D;
    // An image passes the temporal convolutions by, and attention starts behind a projection of zeros.
    const met = Object.keys(params).filter((name) => !/time_conv|to_qkv|norm\.gamma/.test(name));
    const grads = tf.grads((...values: tf.Tensor[]) => {
      const given = { ...params, ...Object.fromEntries(met.map((name, i) => [name, values[i]!])) };
      const decoded = decodeImage(given, small, encodeImage(given, small, image));
      return tf.sum(tf.square(tf.sub(decoded, image))) as tf.Scalar;
    })(met.map((name) => params[name]!));
    for (const [i, grad] of grads.entries()) {
      expect(tf.max(tf.abs(grad)).dataSync()[0], met[i]).toBeGreaterThan(0);
    }
  });

  it('reads back the configuration it writes', () => {
    expect(parseVaeConfig(vaeConfigJson(small))).toEqual(small);
  });

  it.each([
    ['latent_std', { latent_std: [1, 2] }, /latentStd has 2 entries for 16/],
    ['temperal_downsample', { temperal_downsample: [true] }, /1 entries; 4 multipliers/],
    ['dim', { dim: 'wide' }, /dim/],
  ])('names a wrong %s', (_, json, message) => {
    expect(() => parseVaeConfig(json, 'vae/config.json')).toThrow(message);
  });

  it('says which sizes it takes', () => {
    const params = initVaeParams(small, 0);
    expect(() => encodeVideo(params, small, tf.zeros([1, 1, 7, 4, 3]))).toThrow(/multiples of 2/);
    expect(() => encodeVideo(params, small, tf.zeros([1, 2, 8, 4, 3]))).toThrow(/1 \+ 2k frames/);
  });
});
