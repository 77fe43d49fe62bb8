/** The trainer's mathematics as pure functions: losses, advantages, AdamW, averages, and random numbers by their address. */
export { finiteMean } from '../epoch-metrics';
export { randomAt } from '../random';
export { initialOptimizerState, type OptimizerState } from '../update/state';
export {
  type AdamWOptions,
  type AdamWState,
  adamWInit,
  adamWScalars,
  adamWUpdate,
  clipByGlobalNorm,
  globalNorm,
} from './adamw';
export {
  type AdvantageOptions,
  type Advantages,
  bestAgainstWorst,
  bestOfGroup,
  type Comparison,
  perPromptAdvantages,
  type RewardGroup,
  rawReward,
  standardScore,
} from './advantages';
export { emaDecay, emaUpdate } from './ema';
export { type LearningRateSchedule, learningRateAt } from './learning-rate';
export {
  type ClipOptions,
  clippedPolicyLoss,
  meanOverSample,
  type RatioStatistics,
  ratioStatistics,
  velocityKl,
} from './loss';
