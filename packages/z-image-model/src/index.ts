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
  parseAutoencoderConfig,
  spatialFactor,
  unscaleLatents,
  Z_IMAGE_AUTOENCODER,
} from './autoencoder';
export { type Guidance, guide, isGuided, isGuidedAt } from './guidance';
export { initAutoencoder, initTextEncoder, initTransformer } from './init';
export type { Part, TextEncoderPart, ZImageParts } from './pipeline/parts';
export { branches } from './pipeline/programs';
export { type PromptOptions, promptEncoder, promptLength } from './pipeline/prompt-encoder';
export {
  parseSchedulerConfig,
  type SchedulerConfig,
  scheduleFor,
  schedulerConfigJson,
  shiftFor,
  Z_IMAGE_SCHEDULER,
} from './pipeline/scheduler';
export { type Conditioning, type DenoiseEvent, type GenerateOptions, ZImage } from './pipeline/z-image';
export { stackBlocks, stackTextLayers } from './stacks';
export {
  chatText,
  encodeTokens,
  idBatch,
  MAX_TOKENS,
  parseTextEncoderConfig,
  promptIds,
  QWEN3_4B,
  type TextEncoderConfig,
  textEncoderConfigJson,
  textEncoderSpecs,
  textRotary,
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
  velocity,
  velocityOfSizes,
  Z_IMAGE_TRANSFORMER,
} from './transformer';
