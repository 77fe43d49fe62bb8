/** Show-o2 on TensorFlow.js: upstream's numbers and parameter names, with the work that cannot matter left out. */
export {
  type HeadConfig,
  hasHeadProjection,
  imageBlockLength,
  latentShape,
  type Showo2Config,
  type TokenIds,
  type TrunkConfig,
  type VisionConfig,
} from './config/config';
export {
  parseShowo2Config,
  QWEN2_5_TOKENS,
  QWEN2_5_VOCABULARY,
  showo2ConfigJson,
  tokenIdsJson,
} from './config/schema';
export { parseShowo2Yaml, type SamplingDefaults } from './config/yaml';
export {
  type Condition,
  type EncodeOptions,
  type EncodeText,
  encodeHeadText,
  encodePrompts,
  encodeText,
  promptTokens,
  repeatState,
  type TextState,
  textEncoder,
  withHeadText,
} from './denoise/condition';
export { encodeContext } from './denoise/context';
export {
  type Denoised,
  type Features,
  type VelocityOptions,
  velocity,
  velocityFromFeatures,
} from './denoise/velocity';
export { forwardSequence, type SequenceInputs, sequenceLogits, textLogits } from './forward';
export { guide } from './guidance';
export { initParams, parameterSpecs } from './init';
export { LAYER_BASES, stackForTraining, stackFrozen, upstreamNames } from './layers';
export type { DenoiseEvent, GenerateOptions } from './pipeline/generate';
export { coverCrop } from './pipeline/images';
export type { InterleaveOptions, Segment } from './pipeline/interleave';
export type { Showo2Parts } from './pipeline/parts';
export { Showo2 } from './pipeline/showo2';
export { fitLatentPreview, type LatentPreview, previewLatents } from './preview';
export { generationLayout, type Layout, mixedModalLayout } from './sequence/layout';
export { MASKED, type ModalityPositions, omniAttentionAllowed, omniAttentionMask } from './sequence/mask';
export { chooseToken, type TokenSampling, uniformStream } from './text/choose';
export { decodeStep, prefill, type TextCache } from './text/decode';
export { type GenerateTextOptions, generateText, type TextPrefix, textDecoder } from './text/generate';
export { understandingPrefix } from './text/understand';
export { chooseTextLength, cutMessage, type TextLength } from './text-length';
export { qwenTokenizer } from './tokenizer/qwen';
export { ADDED_TOKENS, type TextTokenizer, TOKEN_NAMES } from './tokenizer/tokenizer';
export { parseWordVocabulary, type WordVocabulary, wordTokenizer } from './tokenizer/word';
export { DEFAULT_TRAINABLE, trainableNames } from './trainable';
export { tokenLogits } from './trunk/trunk';
export {
  type CoderOptions,
  checkVaeConfig,
  decode,
  decodeImage,
  decodeImageTiled,
  decodeInPieces,
  encode,
  encodeImage,
  encodeImageTiled,
  encodeInPieces,
  initVaeParams,
  type Posterior,
  parseVaeConfig,
  samplePosterior,
  spatialFactor,
  temporalFactor,
  vaeConfigJson,
  vaeParamShapes,
  WAN21_VAE,
  type WanVaeConfig,
} from './wan-vae/index';
