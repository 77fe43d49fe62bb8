/** The rewards a run's file names, as one scorer. */
import type { Scorer } from '@flow-grpo/grpo-trainer';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import type { Scorer as RewardScorer } from '@flow-grpo/rewards';
import {
  type ChosenReward,
  chosenRewards,
  isRewardModule,
  makeChosenReward,
} from '@flow-grpo/rewards/registry';
import type { RewardChoice } from '../run-file/setup-schema';
import { readTypeScript } from './import-module';
import type { SetupContext } from './setup';
import { downloadMessages } from './sources';

export interface RewardRule {
  readonly retries: number;
  readonly action: 'stop' | 'drop';
}

/**
 * The chosen rewards, found and with their options checked.
 *
 * @throws {ConfigError} naming the one that cannot be found.
 */
export async function findRewards(choice: RewardChoice): Promise<ChosenReward[]> {
  const found: ChosenReward[] = [];
  for (const [key, entry] of Object.entries(choice)) {
    if (isRewardModule(key)) readTypeScript(key);
    found.push(...(await orConfigError(key, chosenRewards({ [key]: entry }))));
  }
  return found;
}

/**
 * The weighted sum of the chosen rewards, under a failure rule.
 *
 * @throws {ConfigError} naming the reward that cannot be made.
 */
export async function makeRewards(
  choice: RewardChoice,
  rule: RewardRule,
  { signal, onMessage }: SetupContext = {},
): Promise<Scorer> {
  const { multiScore, withFailureRule } = await import('@flow-grpo/rewards');
  const parts: { scorer: RewardScorer; weight: number; name: string }[] = [];
  for (const chosen of await findRewards(choice)) {
    const { key, name, weight } = chosen;
    const context = { onDownload: downloadMessages(onMessage, name), ...(signal && { signal }) };
    parts.push({ scorer: await orConfigError(key, makeChosenReward(chosen, context)), weight, name });
  }
  return withFailureRule(multiScore(parts), rule);
}

async function orConfigError<T>(key: string, made: Promise<T>): Promise<T> {
  return made.catch((error: Error) => {
    throw new ConfigError(`setup.reward.${key}: ${error.message}`, { cause: error });
  });
}
