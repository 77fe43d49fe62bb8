/** The parts of your own algorithm: its type, the points that its loss may use, and which images train together. */
export {
  advantageOptions,
  advantagesWithin,
  advClipMax,
  needsSeveralImages,
  perPrompt,
} from './advantage-options';
export {
  type Algorithm,
  type AnyAlgorithm,
  type ConfiguredAlgorithm,
  defineAlgorithm,
  type Loss,
  type Reduction,
  type RolloutNeeds,
  type RunFacts,
  type ScoredImages,
  type WeightCopy,
} from './algorithm';
export {
  type NoisedPoints,
  type NoisedPointsOptions,
  noisedPoints,
  type Pass,
  type Points,
  type RecordedPoints,
  recordedPoints,
} from './pass';
export { type AlgorithmName, algorithms } from './registry';
export {
  allImages,
  bestAndWorst,
  type ComparedImages,
  imagesWithAdvantage,
  type Units,
  wholeGroups,
} from './units';
