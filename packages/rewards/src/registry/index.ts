/** Rewards by name, each registered once: its options, what it reads, and how it is made. */
export {
  type ChosenReward,
  chosenRewards,
  makeChosenReward,
  type RewardChoice,
  type RewardEntry,
  rewardChoiceSchema,
} from './choice';
export { isRewardModule, makeReward } from './find';
export { REWARDS } from './rewards';
