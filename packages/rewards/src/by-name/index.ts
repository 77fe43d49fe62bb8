/** Rewards by name, with options that a file or a command line can hold. */
export { makeReward, NAMED_REWARDS, type NamedReward, namedReward, type RewardName } from './by-name';
