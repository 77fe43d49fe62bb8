/** The ops of StableHLO, CHLO and Shardy: each checks shapes and types, then appends itself to a block. */
export { op, openRegion, region } from './block';
export {
  allGather,
  allReduce,
  manualComputation,
  partitionId,
  reduceScatter,
  shardingConstraint,
} from './collective';
export { constant, full, scalar } from './constants';
export { convolution, dot, fft } from './contraction';
export {
  chlo,
  customCall,
  optimizationBarrier,
  rngBitGenerator,
  whileLoop as while,
  whileOp,
} from './control';
export {
  add,
  and,
  binary,
  bitcast,
  clamp,
  compare,
  complex,
  convert,
  div,
  exp,
  finite as isFinite,
  imag,
  log,
  max,
  min,
  mul,
  neg,
  not,
  or,
  real,
  select,
  sub,
  unary,
  xor,
} from './elementwise';
export { gather, scatter } from './indexing';
export {
  broadcastInDim,
  broadcastTo,
  concatenate,
  dynamicSlice,
  dynamicUpdateSlice,
  iota,
  pad,
  reshape,
  reverse,
  slice,
  transpose,
} from './layout';
export { reduce, reduceMany, reduceWindow, selectAndScatter, sort } from './reduction';
