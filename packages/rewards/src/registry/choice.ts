/** The rewards that a run file names: `{ pickscore: 1, './my-reward.mjs': { weight: 0.5, target: red } }`. */
import { z } from 'zod';
import type { RewardContext, RewardDefinition } from './define';
import {
  type FindRewardOptions,
  type FoundReward,
  findReward,
  isRewardModule,
  makeScorer,
  optionsOf,
  parseRewardOptions,
  shapeOf,
} from './find';
import { REWARDS } from './rewards';

/** A weight alone, or a weight (1 by default) with the options of the reward. */
export type RewardEntry = number | ({ readonly weight?: number } & Readonly<Record<string, unknown>>);
export type RewardChoice = Readonly<Record<string, RewardEntry | undefined>>;

const weight = z.number().describe('Factor in the sum (the number in flow_grpo’s reward_fn)');

function entrySchema(definition: RewardDefinition): z.ZodType {
  const object = z.strictObject({ weight: weight.default(1), ...shapeOf(definition) });
  const takesWeightAlone = optionsOf(definition).safeParse({}).success;
  return (takesWeightAlone ? z.union([weight, object]) : object).optional().describe(definition.summary);
}

const moduleEntry = z.union([weight, z.looseObject({ weight: weight.default(1) })]).optional();

/** What JSON Schema says of modules: their keys are paths. */
const MODULE_KEYS = {
  patternProperties: { '^\\.{0,2}/|\\.[cm]?[jt]s$': { description: 'A module with a reward' } },
};

/**
 * The schema of the rewards in a run file.
 *
 * @param given what is to be checked: modules are the keys of it that are paths
 */
export function rewardChoiceSchema(given: unknown = {}): z.ZodType<RewardChoice, RewardChoice> {
  const keys = given !== null && typeof given === 'object' ? Object.keys(given) : [];
  const shape = {
    ...Object.fromEntries(
      Object.entries(REWARDS).map(([name, definition]) => [name, entrySchema(definition)]),
    ),
    ...Object.fromEntries(keys.filter(isRewardModule).map((key) => [key, moduleEntry])),
  };
  return z
    .strictObject(shape)
    .refine((chosen) => Object.values(chosen).some((value) => value !== undefined), {
      message: 'names no reward; e.g. pickscore: 1',
    })
    .meta(MODULE_KEYS) as unknown as z.ZodType<RewardChoice, RewardChoice>;
}

/** One reward of a choice. */
export interface ChosenReward extends FoundReward {
  /** As it stands in the file. */
  readonly key: string;
  readonly weight: number;
  readonly options: Readonly<Record<string, unknown>>;
}

/**
 * Finds the chosen rewards and checks their options.
 *
 * @param options.folder that modules are relative to: the run file's
 * @throws naming the reward that is unknown, the module that cannot be loaded, or the option that is wrong
 */
export async function chosenRewards(
  choice: RewardChoice,
  options: FindRewardOptions = {},
): Promise<ChosenReward[]> {
  const chosen: ChosenReward[] = [];
  for (const [key, value] of Object.entries(choice)) {
    if (value === undefined) continue;
    const { weight = 1, ...given }: { weight?: number } =
      typeof value === 'number' ? { weight: value } : value;
    const found = await findReward(key, options);
    chosen.push({ ...found, key, weight, options: parseRewardOptions(found, given) });
  }
  return chosen;
}

/** The scorer of a chosen reward, as {@link makeScorer}. */
export const makeChosenReward = (chosen: ChosenReward, context: RewardContext = {}) =>
  makeScorer(chosen, chosen.options, context);
