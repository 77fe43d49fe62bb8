/** Scorers: images with their prompts in, one number per image out, with its parts by name. */
export {
  affineScale,
  byRank,
  type FailureRule,
  type GroupReward,
  groupwise,
  type ImageGroup,
  multiScore,
  type Normalise,
  type ScorePart,
  standardise,
  unitRange,
  withFailureRule,
} from './compose';
export { humanReward } from './human/human-reward';
export { type RgbImage, rgbImages } from './images';
export { jpegCompressibility, jpegIncompressibility } from './jpeg/jpeg-size';
export {
  finalScore,
  type JudgeTemplate,
  type OpenaiVisionOptions,
  openaiVision,
  type ScoreTemplateOptions,
  scoreTemplate,
  taggedScore,
  type UnifiedRewardOpenaiOptions,
  unifiedRewardOpenai,
} from './judge';
export {
  type AestheticOptions,
  aesthetic,
  type BatchOptions,
  type BlipConfig,
  type ClipModelOptions,
  type ClipScoreOptions,
  clipScore,
  type HpsOptions,
  hpsv2,
  type ImageRewardOptions,
  imageReward,
  type ModelDtype,
  type ModelScorer,
  type OpenClipConfig,
  pickScore,
  type SourceOptions,
  type TensorResize,
} from './models';
export {
  type OcrEngine,
  type OcrOptions,
  ocr,
  paddleOcr,
  type ScorerVideos,
  type TextLine,
  type VideoOcrOptions,
  type VideoScorer,
  videoOcr,
} from './ocr';
export { defineReward, type RewardContext, type RewardDefinition } from './registry/define';
export { makeReward } from './registry/find';
export type { RewardName } from './registry/rewards';
export {
  deqa,
  type GenevalOptions,
  geneval,
  RemoteError,
  type RemoteOptions,
  type UnifiedRewardServerOptions,
  unifiedReward,
} from './remote';
export { functionScorer, type RewardFunction } from './reward-function';
export type { EncodedImage, ScoreOptions, Scorer, ScorerImages, Scores } from './scorer';
export { type RewardServerClientOptions, rewardServerClient } from './server/client';
export { type RewardProcessOptions, rewardProcess } from './server/reward-process';
export { type RewardServer, type ServeOptions, serveScorer } from './server/serve';
export {
  describeScenes,
  type FindShapesOptions,
  type FoundShape,
  findShapes,
  freeColors,
  type ShapeEvalOptions,
  sceneDiversity,
  shapeEval,
} from './shapes';
