/** The rewards a run's file names, as one scorer. */

import type { Scorer } from '@flow-grpo/grpo-trainer';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import type { RewardChoice } from '../run-file/setup-schema';
import { optionalPackage } from './optional-package';

type Rewards = typeof import('@flow-grpo/rewards');
type Options = Readonly<Record<string, unknown>>;
type Made = import('@flow-grpo/rewards').Scorer;

/** Each reward of the schema as a scorer. Its options are the schema's, which are the scorer's own. */
const MAKERS: Record<keyof RewardChoice, (rewards: Rewards, options: never) => Made | Promise<Made>> = {
  pickscore: (rewards, options) => rewards.pickScore(options),
  clipscore: (rewards, options) => rewards.clipScore(options),
  aesthetic: (rewards, options) => rewards.aesthetic(options),
  imagereward: (rewards, options) => rewards.imageReward(options),
  hpsv2: (rewards, options) => rewards.hpsv2(options),
  ocr: (rewards) => rewards.ocr(),
  geneval: (rewards, options) => rewards.geneval(options),
  deqa: (rewards, options) => rewards.deqa(options),
  unifiedreward: (rewards, options) => rewards.unifiedReward(options),
  jpeg_compressibility: (rewards) => rewards.jpegCompressibility(),
  jpeg_incompressibility: (rewards) => rewards.jpegIncompressibility(),
  shapes: (rewards, options) => rewards.shapeEval(options),
};

export interface RewardRule {
  readonly retries: number;
  readonly action: 'stop' | 'drop';
}

interface Part {
  readonly name: keyof RewardChoice;
  readonly weight: number;
  readonly options: Options;
}

/**
 * The weighted sum of the chosen rewards, under a failure rule.
 *
 * @throws {ConfigError} naming the reward that cannot be made.
 */
export async function makeRewards(choice: RewardChoice, rule: RewardRule): Promise<Scorer> {
  const rewards = await import('@flow-grpo/rewards').catch(() =>
    optionalPackage('@flow-grpo/rewards', 'setup.reward'),
  );
  const parts: { scorer: Made; weight: number; name: string }[] = [];
  for (const { name, weight, options } of partsOf(choice)) {
    try {
      parts.push({ scorer: await MAKERS[name](rewards, options as never), weight, name });
    } catch (error) {
      throw new ConfigError(`setup.reward.${name}: ${(error as Error).message}`, { cause: error });
    }
  }
  return rewards.withFailureRule(rewards.multiScore(parts), rule);
}

function partsOf(choice: RewardChoice): Part[] {
  return Object.entries(choice).flatMap(([name, value]) => {
    if (value === undefined) return [];
    const { weight, ...options } = typeof value === 'number' ? { weight: value } : value;
    return [{ name: name as keyof RewardChoice, weight, options }];
  });
}
