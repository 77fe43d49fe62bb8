/** Points in the plane that should move to eight places: trains in seconds and needs no model. */

import type { Params, Scorer } from '@flow-grpo/grpo-trainer';
import { gaussianFlow } from '@flow-grpo/grpo-trainer';
import { randomAt } from '@flow-grpo/grpo-trainer/maths';
import * as tf from '@tensorflow/tfjs-core';
import type { RunSetup } from './setup';

const PLACES: Record<string, readonly [number, number]> = {
  'top left': [0.2, 0.8],
  top: [0.5, 0.8],
  'top right': [0.8, 0.8],
  left: [0.2, 0.5],
  right: [0.8, 0.5],
  'bottom left': [0.2, 0.2],
  bottom: [0.5, 0.2],
  'bottom right': [0.8, 0.2],
};

/**
 * Eight prompts, as many as an epoch has by default, an exact flow to a Gaussian for each, and the nearness to the asked
 * place as reward.
 */
export function toySetup(): RunSetup & { readonly scorer: Scorer } {
  const prompts = Object.keys(PLACES).map((prompt) => ({ prompt }));
  return {
    policy: gaussianFlow({ prompts: Object.keys(PLACES), mean: [0.5, 0.5, 0.5], std: 0.1 }),
    prompts,
    evalPrompts: Array.from({ length: 64 }, (_, i) => prompts[i % prompts.length]!),
    scorer: {
      name: 'nearness',
      async score(images, asked) {
        const pixels = await images.data();
        const scores = asked.map((prompt, i) => {
          const [x, y] = PLACES[prompt]!;
          return Math.exp(-((pixels[3 * i]! - x) ** 2 + (pixels[3 * i + 1]! - y) ** 2) / 0.1);
        });
        return { scores, details: {} };
      },
    },
    pretrain: {
      params: affineVelocity(),
      velocity: (params, x, t) => {
        const features = tf.concat([x, tf.reshape(t, [-1, 1])], 1);
        return tf.add(tf.matMul(features as tf.Tensor2D, params.weight as tf.Tensor2D), params.bias!);
      },
      batchAt: (step) => ({ latents: aroundPlaces(step), condition: {} }),
      options: { steps: 200, learningRate: 0.01, seed: 1 },
    },
  };
}

/** A velocity affine in (x, t): the least that flow matching can fit. */
function affineVelocity(): Params {
  return { weight: tf.zeros([3, 2]), bias: tf.zeros([2]) };
}

/** [64, 2] points near the places. */
function aroundPlaces(step: number): tf.Tensor2D {
  const random = randomAt(0x746f79, step);
  const places = Object.values(PLACES);
  return tf.tensor2d(
    Array.from({ length: 64 }, (_, i) => places[i % places.length]!.map((at) => at + 0.2 * (random() - 0.5))),
  );
}
