/** A reward model beside scores of its published code. */
import { asScorer, type RewardFunction, type Scorer } from '@flow-grpo/grpo-trainer';
import * as tf from '@tensorflow/tfjs-core';
import { type Comparison, relativeDifference } from './comparison';
import type { Reference } from './reference';

/** What `reference/reward.py` writes. */
export const REWARD_TENSORS = [
  'images', // [B, H, W, 3], whole numbers from 0 to 255
  'scores', // [B]
] as const;

const TOLERANCE = { float32: 2e-3, bfloat16: 5e-2 } as const;

export async function compareReward(
  name: string,
  reward: Scorer | RewardFunction,
  { tensors, prompts }: Reference,
  dtype: keyof typeof TOLERANCE,
): Promise<Comparison> {
  const images = tf.tidy(() => tf.div(tf.cast(tensors.images!, 'float32'), 255) as tf.Tensor4D);
  try {
    const { scores } = await asScorer(reward).score(
      images,
      [...prompts],
      prompts.map(() => ({})),
    );
    const expected = await tensors.scores!.data();
    const difference = relativeDifference(scores, expected);
    const agrees = difference <= TOLERANCE[dtype];
    const worst = scores.findIndex(
      (score, i) => Math.abs(score - expected[i]!) > TOLERANCE[dtype] * Math.abs(expected[i]!),
    );
    const measured = `${scores.length} scores differ by ${difference.toPrecision(2)} of the largest, allowed ${TOLERANCE[dtype]}`;
    const example = agrees
      ? ''
      : `; image ${Math.max(0, worst)} has ${scores[Math.max(0, worst)]}, and the reference ${expected[Math.max(0, worst)]}`;
    return { what: `reward ${name}`, agrees, detail: `${measured}${example}` };
  } finally {
    images.dispose();
  }
}
