/** Low-rank adapters on linear layers. */
export {
  adaptedWeights,
  checkAdapters,
  type LoraScale,
  loraScale,
  loraScales,
  mergeLora,
  stackLora,
  unstackLora,
  withLora,
} from './adapters';
export { initLora, type LoraConfig, type LoraInit } from './init';
export { loraTargets } from './names';
