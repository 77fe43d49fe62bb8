/**
 * What tfjs-core lacks for large models: compiled functions, loops, low-precision storage, attention, counter-based random
 * numbers and several devices. Everything works on every tfjs backend; where the active one has a compiler, it is compiled.
 */
export { type AttentionOptions, scaledDotProductAttention } from './attention';
export { compileAhead, compileSeconds, observeCompilations, placeholder } from './compile-ahead';
export {
  type Collective,
  type Cost,
  type DeviceInfo,
  type DeviceShard,
  type FloatStorage,
  hasCompiler,
  type Lowered,
  type PlannedProgram,
} from './compiler';
export { allGather, allReduce, axisIndex, reduceScatter } from './devices/collectives';
export { defaultStorage, deviceInfo, isOutOfMemory } from './devices/device-info';
export { mesh } from './devices/mesh';
export { evenSpec, type Mesh, type MeshAxes, type PartitionSpec } from './devices/partition';
export {
  gatherShards,
  readShards,
  replicate,
  shard,
  shardInPlace,
  shardingOf,
  shardLike,
  takeLocal,
} from './devices/shard';
export { type ShardMapOptions, shardMap } from './devices/shard-map';
export { type JitOptions, type Jitted, jit } from './jit';
export { checkpoint } from './loops/checkpoint';
export { type ScanOptions, scan } from './loops/scan';
export { whileLoop } from './loops/while-loop';
export * as random from './random/random';
export { cast, fromBytes, storageOf, toBytes, upload } from './storage';
export { tidyAsync } from './tidy-async';
export * as tree from './tree';
