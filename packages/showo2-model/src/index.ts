/** Show-o2 on TensorFlow.js: upstream's numbers and parameter names, skipping work that cannot affect the result. */
export {
  type HeadConfig,
  imageBlockLength,
  type Showo2Config,
  showo2LatentShape,
  type TokenIds,
  type TrunkConfig,
  type VisionConfig,
} from './config/config';
export { showo2ConfigJson, tokenIdsJson } from './config/config-json';
export { parseShowo2Config } from './config/schema';
export {
  type Showo2Condition,
  type EncodeOptions,
  type EncodeText,
  encodePrompts,
  encodeText,
  promptTokens,
  textEncoder,
} from './denoise/condition';
export { encodeContext } from './denoise/context';
export {
  type Denoised,
  type Features,
  showo2Velocity,
  type VelocityOptions,
  velocityFromFeatures,
} from './denoise/velocity';
export { forwardSequence, type SequenceInputs, sequenceLogits } from './forward';
export { initShowo2Params, showo2ParameterSpecs } from './init';
export { SHOWO2_LAYER_BASES, upstreamNames } from './layers';
export type { DenoiseEvent, GenerateOptions } from './pipeline/generate';
export type { InterleaveOptions, Segment } from './pipeline/interleave';
export type { Showo2Parts } from './pipeline/parts';
export { Showo2 } from './pipeline/showo2';
export { fitLatentPreview, type LatentPreview } from './preview';
export { generationLayout, type Layout } from './sequence/layout';
export { chooseTextLength, cutPromptsMessage, type TextLength } from './text-length';
export { qwenTokenizer } from './tokenizer/qwen';
export type { TextTokenizer } from './tokenizer/tokenizer';
export { parseWordVocabulary, type WordVocabulary, wordTokenizer } from './tokenizer/word';
export { trainableNames } from './trainable';
export {
  type CoderOptions,
  decodeImage,
  decodeVideo,
  encodeImage,
  encodeVideo,
  initVaeParams,
  type Posterior,
  parseVaeConfig,
  vaeConfigJson,
  vaeParamShapes,
  WAN21_VAE,
  type WanVaeConfig,
} from './wan-vae/index';
