/** DAPO's dynamic sampling: prompts whose images all score alike are replaced by others, a few times at most. */
import { random } from '@flow-grpo/tfjs-jit';
import type * as tf from '@tensorflow/tfjs-core';
import type { GrpoConfig } from '../config/schema';
import type { Placement } from '../placement';
import type { Params, Policy } from '../policy';
import { isConstant, type PromptGroup } from '../prompts/prompt-statistics';
import type { Example } from '../scorer';
import type { createRollout, EpochBatch, RolloutCall } from './create-rollout';
import { createGroupKeeper, groupsToKeep } from './keep-groups';

/** A prompt with its place in the list. */
export interface DrawnPrompt extends Example {
  readonly index: number;
}

/** The images of an epoch. */
export interface SampledEpoch<C> {
  readonly images: EpochBatch<C>;
  /** Every prompt that images were drawn for, with their rewards. */
  readonly groups: readonly PromptGroup[];
}

/** Keys of further rollouts of an epoch lie beyond those of the first one's steps and of gradient passes. */
const REDRAW_STREAM = 0x7ed000;

/**
 * The function that draws an epoch's images: those of the first prompts, and with `prompts.skipWithoutVariance` those of the
 * next ones while groups lack, all with noise of their own. What was drawn follows from seed and epoch alone.
 *
 * @throws as the rollout does; nothing is left behind then.
 */
export function createSampler<C, P>(
  policy: Policy<C, P>,
  rollout: ReturnType<typeof createRollout<C, P>>,
  { prompts: { skipWithoutVariance, maxRedraws }, sampling }: GrpoConfig,
  placement: Placement,
) {
  const { promptsPerEpoch, samplesPerPrompt } = sampling;
  const keepGroups = createGroupKeeper(policy, placement);
  const groupsOf = (batch: EpochBatch<C>, drawn: readonly DrawnPrompt[]): PromptGroup[] =>
    drawn.map(({ index }, g) => ({
      index,
      rewards: batch.rewards.slice(g * samplesPerPrompt, (g + 1) * samplesPerPrompt),
    }));

  return async (
    weights: Params,
    candidates: readonly DrawnPrompt[],
    window: readonly number[],
    key: tf.Tensor,
    call: RolloutCall,
  ): Promise<SampledEpoch<C>> => {
    const possible = Math.floor(candidates.length / promptsPerEpoch);
    const rounds = skipWithoutVariance ? Math.min(1 + maxRedraws, possible) : 1;
    const batches: EpochBatch<C>[] = [];
    const groups: PromptGroup[][] = [];
    const telling = () => groups.flat().filter((group) => !isConstant(group)).length;
    try {
      for (let round = 0; round < rounds && telling() < promptsPerEpoch; round++) {
        const drawn = candidates.slice(round * promptsPerEpoch, (round + 1) * promptsPerEpoch);
        const own = round === 0 ? key : random.foldIn(key, REDRAW_STREAM + round);
        try {
          batches.push(await rollout(weights, drawn, window, own, call));
        } finally {
          if (own !== key) own.dispose();
        }
        groups.push(groupsOf(batches.at(-1)!, drawn));
      }
      const kept = groupsToKeep(
        groups.map((round) => round.map((group) => !isConstant(group))),
        promptsPerEpoch,
      );
      const images = batches.length === 1 ? batches[0]! : keepGroups(batches, kept);
      return { images, groups: groups.flat() };
    } catch (error) {
      for (const batch of batches) batch.dispose();
      throw error;
    }
  };
}
