/** Flow matching on the policy's own images, weighted by their advantages: what SFT and RWR share. */
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import type { Comparison } from '../maths/advantages';
import { meanOverSample } from '../maths/loss';
import { advantagesWithin, advClipMax, groupedBy, perPrompt } from './advantage-options';
import type { ConfiguredAlgorithm, Loss, RunFacts } from './algorithm';
import { noisedPoints, type Pass } from './pass';
import { imagesWithAdvantage } from './units';

export const timesPerImage = z.int().min(1).default(4).describe('Times drawn per image');

export const flowMatchingOptions = z.strictObject({ timesPerImage, advClipMax, perPrompt });

export type FlowMatchingOptions = z.output<typeof flowMatchingOptions>;

/** @param compare what an image's weight is */
export function configureFlowMatching(
  options: FlowMatchingOptions,
  { epochSize }: RunFacts,
  compare: Comparison,
): ConfiguredAlgorithm {
  return {
    rollout: { sampler: 'sde', keep: 'latents' },
    pointsPerImage: options.timesPerImage,
    units: imagesWithAdvantage(epochSize),
    advantages: (scored) => advantagesWithin(groupedBy(options, scored), scored, { compare }),
    metrics: { flowMatchingLoss: 'mean' },
    loss: (pass) => weightedFlowMatching(pass, options),
  };
}

/** Σ weight · advantage · mean (v − (data − noise))² at logit-normal times. */
function weightedFlowMatching(pass: Pass, { timesPerImage, advClipMax }: FlowMatchingOptions): Loss {
  const points = noisedPoints(pass, { timesPerImage });
  const velocity = pass.velocity('trained', points);
  const error = meanOverSample(tf.square(tf.sub(velocity, points.target)));
  const perTime = (value: tf.Tensor1D) => tf.tile(value, [points.t.shape[0]! / value.shape[0]]);
  const gain = tf.clipByValue(perTime(pass.advantages), -advClipMax, advClipMax);
  const weights = tf.div(perTime(pass.weights), timesPerImage);
  return {
    loss: tf.sum(tf.mul(tf.mul(weights, gain), error)),
    metrics: { flowMatchingLoss: tf.sum(tf.mul(weights, error)) },
  };
}
