/** The rewards that a run file names, as one scorer. */
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
export async function findRewards(choice: RewardChoice, option = 'reward'): Promise<ChosenReward[]> {
  const found: ChosenReward[] = [];
  for (const [key, entry] of Object.entries(choice)) {
    if (isRewardModule(key)) readTypeScript(key);
    found.push(...(await orConfigError(option, key, chosenRewards({ [key]: entry }))));
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
  context: SetupContext = {},
): Promise<Scorer> {
  const { multiScore, withFailureRule } = await import('@flow-grpo/rewards');
  return withFailureRule(multiScore(await makeParts('reward', choice, context)), rule);
}

/**
 * Each of the chosen rewards by name, under a failure rule: they watch evaluations, and their weights mean nothing.
 *
 * @throws {ConfigError} naming the reward that cannot be made.
 */
export async function makeEvalRewards(
  choice: RewardChoice,
  rule: RewardRule,
  context: SetupContext = {},
): Promise<Record<string, Scorer>> {
  const { withFailureRule } = await import('@flow-grpo/rewards');
  const parts = await makeParts('evalRewards', choice, context);
  return Object.fromEntries(parts.map(({ name, scorer }) => [name, withFailureRule(scorer, rule)]));
}

async function makeParts(
  option: string,
  choice: RewardChoice,
  { signal, onMessage, person }: SetupContext,
): Promise<{ scorer: RewardScorer; weight: number; name: string }[]> {
  const parts: { scorer: RewardScorer; weight: number; name: string }[] = [];
  for (const chosen of await findRewards(choice, option)) {
    const { key, name, weight } = chosen;
    const context = { onDownload: downloadMessages(onMessage, name), person, ...(signal && { signal }) };
    parts.push({
      scorer: await orConfigError(option, key, makeChosenReward(chosen, context)),
      weight,
      name,
    });
  }
  return parts;
}

async function orConfigError<T>(option: string, key: string, made: Promise<T>): Promise<T> {
  return made.catch((error: Error) => {
    throw new ConfigError(`setup.${option}.${key}: ${error.message}`, { cause: error });
  });
}
