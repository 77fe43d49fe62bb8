/** The trainer's mathematics as pure functions: losses, advantages, AdamW, averages, and addressed random numbers. */
export { initialState } from '../checkpoint/checkpoint';
export { finiteMean } from '../epoch-metrics';
export { randomAt } from '../random';
export type { TrainState } from '../update/executables';
export {
  type AdamWOptions,
  type AdamWState,
  adamWInit,
  adamWScalars,
  adamWUpdate,
  clipByGlobalNorm,
  globalNorm,
  mapParams,
} from './adamw';
export {
  type AdvantageKind,
  type AdvantageOptions,
  type Advantages,
  perPromptAdvantages,
} from './advantages';
export { emaDecay, emaDue, emaUpdate } from './ema';
export { type LearningRateSchedule, learningRateAt } from './learning-rate';
export {
  type ClipOptions,
  clippedPolicyLoss,
  importanceRatio,
  meanOverSample,
  type RatioStatistics,
  ratioStatistics,
  stepMeanKl,
  velocityKl,
} from './loss';
