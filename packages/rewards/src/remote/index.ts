/** Reward servers of flow_grpo: Python pickles over HTTP, written and read without running anything. */
export { NdArray, PickleError, type PickleOptions, PyTuple, pickle, unpickle } from './pickle';
export { RemoteError, type RemoteOptions } from './post';
export {
  deqa,
  type GenevalOptions,
  geneval,
  type UnifiedRewardServerOptions,
  unifiedReward,
} from './servers';
