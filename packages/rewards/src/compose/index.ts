/** Rewards made of rewards: weighted sums, scales, whole groups, and what happens on failure. */
export { type FailureRule, withFailureRule } from './failure';
export { type GroupReward, groupwise, type ImageGroup } from './groups';
export { multiScore, type ScorePart } from './multi-score';
export { affineScale, byRank, type Normalise, standardise, unitRange } from './normalise';
