/** Layers and parameter records for transformer models; they reproduce the PyTorch layers that they are named after. */
export { gelu, geluTanh, quickGelu, silu } from './activations';
export { bicubicMatrix, interpolatePositions } from './bicubic';
export {
  castLike,
  castParams,
  castToStorage,
  checkFloats,
  mergeTrainedWeights,
  uploadAs,
  type WeightDtype,
} from './cast';
export { conv2d, convolve, downsample2d, roundsSums, upsample2d } from './convolution';
export {
  type Attend,
  joinHeads,
  type QwenLayerConfig,
  qwenAttention,
  qwenLayer,
  splitHeads,
  swiglu,
} from './decoder-layer';
export { drawParams, type ParameterSpec, type ParameterStart } from './draw-params';
export { stopGradient } from './gradients';
export { linear } from './linear';
export {
  adaptedWeights,
  checkAdapters,
  initLora,
  type LoraConfig,
  type LoraInit,
  type LoraScale,
  loraScale,
  loraScales,
  loraTargets,
  mergeLora,
  stackLora,
  unstackLora,
  withLora,
} from './lora';
export { groupNorm, layerNorm, rmsNorm } from './norm';
export type { Observe } from './observe';
export {
  countParams,
  matchesPattern,
  type NamePattern,
  optionalParam,
  type Params,
  param,
  pickParams,
  selectNames,
} from './params';
export { imagesOfPatchRows, patchEmbed, patchRows } from './patches';
export { repeatRows } from './repeat-rows';
export {
  applyRotary,
  applyRotaryPairs,
  type Llama3Scaling,
  type RotaryTables,
  rotaryFrequencies,
  rotaryTables,
} from './rotary';
export {
  type LayerBody,
  type LayerKv,
  replaceByStacks,
  runLayers,
  stackForTraining,
  stackLayers,
  unstackLayers,
} from './stacked-layers';
export { decodeInTiles, encodeInTiles, type TilingOptions } from './tiles';
export { timestepFeatures } from './timestep';
export { fromUnitRange, toUnitRange } from './unit-images';
export { warnIfUncompiled } from './warn-uncompiled';
