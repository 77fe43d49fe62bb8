/** Layers and parameter records for transformer models; same numbers as the PyTorch layers they are named after. */
export { gelu, geluTanh, quickGelu, silu } from './activations';
export { affine } from './affine';
export { bicubicMatrix, interpolatePositions } from './bicubic';
export { castLike, castParams, castToStorage, uploadAs, type WeightDtype } from './cast';
export { gatherRows } from './gather-rows';
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
export { layerNorm, rmsNorm } from './norm';
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
export { patchEmbed } from './patches';
export {
  applyRotary,
  type Llama3Scaling,
  type RotaryTables,
  rotaryFrequencies,
  rotaryTables,
} from './rotary';
export { timestepFeatures } from './timestep';
export { warnIfUncompiled } from './warn-uncompiled';
