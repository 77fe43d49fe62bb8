/** Flow matching first, then Flow-GRPO. */
import { type Params, type Policy, train } from '@flow-grpo/grpo-trainer';
import * as tf from '@tensorflow/tfjs-core';
import { pretrain } from 'flow-grpo/pretrain';
import { batchAt, brightness } from './data';
import { initialWeights, PROMPTS, velocity } from './model';

/** Weights of a flow that draws the colours of `data.ts`. */
export async function pretrained(steps: number): Promise<Params> {
  const start = initialWeights();
  const { ema, trained } = await pretrain(start, velocity, batchAt, { steps, learningRate: 0.01 });
  tf.dispose([start, trained]);
  return ema;
}

/** The rewards of every epoch while brighter colours are rewarded, and the tuned weights. */
export async function tune(
  policy: Policy<tf.Tensor2D>,
  epochs: number,
): Promise<{ rewards: number[]; weights: Params }> {
  const rewards: number[] = [];
  const { trained, ema } = await train({
    policy,
    prompts: PROMPTS.map((prompt) => ({ prompt })),
    scorer: brightness,
    config: {
      epochs,
      sampling: { numSteps: 8, promptsPerEpoch: 2, samplesPerPrompt: 24, batchSize: 48 },
      training: { learningRate: 2e-3 },
      grpo: { clipRange: 0.2 },
    },
    onEpoch: ({ reward }) => void rewards.push(reward),
  });
  tf.dispose(ema);
  return { rewards, weights: trained };
}
