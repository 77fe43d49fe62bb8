/** Rewards by name, each registered once: its options, what it reads, and how it is made. */
export {
  type ChosenReward,
  chosenRewards,
  makeChosenReward,
  type RewardChoice,
  type RewardEntry,
  rewardChoiceSchema,
} from './choice';
export { defineReward, type RewardContext, type RewardDefinition } from './define';
export {
  type FindRewardOptions,
  type FoundReward,
  findReward,
  isRewardModule,
  makeFoundReward,
  makeReward,
  shapeOf,
} from './find';
export { REWARDS, type RewardName } from './rewards';
