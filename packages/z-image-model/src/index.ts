/** Z-Image on TensorFlow.js: diffusers' numbers and parameter names, skipping work that cannot affect the result. */
export {
  type AutoencoderConfig,
  autoencoderConfigJson,
  autoencoderSpecs,
  decodeLatents,
  decodeLatentsTiled,
  encodeImages,
  encodeImagesTiled,
  encodePosterior,
  type Posterior,
  spatialFactor,
  Z_IMAGE_AUTOENCODER,
} from './autoencoder';
export type { Guidance } from './guidance';
export { initTransformer } from './init';
export type { Part, TextEncoderPart, ZImageParts } from './pipeline/parts';
export { type PromptOptions, promptEncoder, promptLength } from './pipeline/prompt-encoder';
export { type SchedulerConfig, schedulerConfigJson, Z_IMAGE_SCHEDULER } from './pipeline/scheduler';
export { type Conditioning, type DenoiseEvent, type GenerateOptions, ZImage } from './pipeline/z-image';
export {
  encodeTokens,
  promptIds,
  QWEN3_4B,
  type TextEncoderConfig,
  textEncoderConfigJson,
  textEncoderSpecs,
} from './text-encoder';
export {
  type Captions,
  paddedLength,
  parseTransformerConfig,
  refineCaptions,
  type TextStates,
  type TransformerConfig,
  transformerConfigJson,
  transformerSpecs,
  Z_IMAGE_TRANSFORMER,
  zImageVelocity,
  zImageVelocityOfSizes,
} from './transformer';
