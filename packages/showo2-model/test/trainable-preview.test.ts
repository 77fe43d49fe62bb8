import { fixtureCases, maxAbsDiff } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { fitLatentPreview, trainableNames } from '../src/index';
import { previewLatents } from '../src/preview';
import { loadCase } from './case';

const { params } = loadCase(fixtureCases('showo2-tiny')[0]!.dir);

describe('trainableNames', () => {
  it('takes the diffusion head by default, and everything but the tied projection with all', () => {
    const head = trainableNames(params);
    expect(head.length).toBeGreaterThan(10);
    for (const name of head) expect(name).toMatch(/^diffusion_head_[ab]/);
    expect(trainableNames(params, ['all'])).not.toContain('showo.lm_head.weight');
  });
});

describe('latent preview', () => {
  it('recovers a linear decoder', async () => {
    const latents = tf.randomNormal([2, 4, 4, 5], 0, 1, 'float32', 3) as tf.Tensor4D;
    const mix = tf.randomNormal([5, 3], 0, 0.05, 'float32', 4) as tf.Tensor2D;
    const flat = tf.matMul(tf.reshape(latents, [-1, 5]) as tf.Tensor2D, mix);
    const colours = tf.reshape(tf.add(flat, 0.5), [2, 4, 4, 3]) as tf.Tensor4D;
    const images = tf.image.resizeNearestNeighbor(colours, [8, 8]);
    const { preview, explained } = await fitLatentPreview(latents, images);
    expect(explained).toBeGreaterThan(0.999);
    expect(maxAbsDiff(previewLatents(preview, latents).dataSync(), colours.dataSync())).toBeLessThan(1e-3);
  });
});
