/** Rewards from models on the tensor backend, with the preprocessing of their reference implementations. */
export type { BlipConfig } from './blip/config';
export type { OpenClipConfig } from './clip/open-clip';
export type { ClipModelOptions } from './load/clip-model';
export type { ModelDtype, SourceOptions } from './load/source';
export { pillowResize, type TensorResize } from './preprocess';
export { type AestheticOptions, aesthetic } from './scorers/aesthetic';
export type { BatchOptions, ModelScorer } from './scorers/batches';
export { type ClipScoreOptions, clipScore, pickScore } from './scorers/clip-score';
export { type HpsOptions, hpsv2 } from './scorers/hpsv2';
export { type ImageRewardOptions, imageReward } from './scorers/image-reward';
