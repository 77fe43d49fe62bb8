/** What one epoch works on. */
import { jit, random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { GrpoConfig } from '../config/schema';
import { type PhaseTimer, phaseTimer } from '../phase-times';
import { drawPrompts } from '../prompts/draw-prompts';
import type { PromptGroup, PromptRecords } from '../prompts/prompt-statistics';
import type { EpochBatch } from '../rollout/create-rollout';
import type { DrawnPrompt } from '../rollout/dynamic-sampling';
import type { EpochPlan } from '../rollout/epoch-plan';
import type { PromptSource } from '../scorer';

export interface Epoch<C> {
  readonly number: number;
  /** Its prompts, and those that may take the place of some of them. */
  readonly candidates: readonly DrawnPrompt[];
  /** The stochastic steps. */
  readonly window: readonly number[];
  readonly key: tf.Tensor;
  readonly timer: PhaseTimer;
  /** Set once they are drawn. */
  images?: EpochBatch<C>;
  /** Every prompt that images were drawn for, with their rewards. */
  groups?: readonly PromptGroup[];
  /** What is known of all prompts after it. */
  known?: PromptRecords;
  /** Disposes of its tensors; also where the epoch failed. */
  dispose(): void;
}

/** Makes the epochs of a run: prompts, window and random key are functions of its seed and of the epoch's number. */
export function createEpochs<C>(config: GrpoConfig, plan: EpochPlan, prompts: PromptSource) {
  const epochKey = jit((key: tf.Tensor, epoch: tf.Tensor) => random.foldIn(key, epoch), { name: 'epochKey' });
  const rootKey = random.key(config.seed);
  const { promptsPerEpoch } = config.sampling;
  const { skipWithoutVariance, maxRedraws, harderMoreOften } = config.prompts;
  const wanted = promptsPerEpoch * (1 + (skipWithoutVariance ? maxRedraws : 0));
  return {
    /** @param known what earlier epochs found out about prompts */
    begin(number: number, known: PromptRecords, timer = phaseTimer()): Epoch<C> {
      const { seed } = config;
      const chosen = drawPrompts(known, number, prompts.length, wanted, { seed, harderMoreOften });
      const counter = tf.scalar(number, 'int32');
      const key = epochKey(rootKey, counter);
      counter.dispose();
      const epoch: Epoch<C> = {
        number,
        candidates: chosen.map((index) => ({ ...prompts.at(index)!, index })),
        window: plan.window(number),
        key,
        timer,
        dispose() {
          key.dispose();
          epoch.images?.dispose();
        },
      };
      return epoch;
    },
    dispose: () => rootKey.dispose(),
  };
}
