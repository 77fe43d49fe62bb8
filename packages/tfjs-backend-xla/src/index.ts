/**
 * A TensorFlow.js backend on XLA, and the functions tfjs-core lacks: jit, scan, low precision, attention,
 * counter-based random numbers. Everything here works on every tfjs backend; on XLA it is compiled.
 */
import './gradients';
import './register';

export { type Cost, type JitOptions, type Jitted, jit, type Lowered } from './jit';
export { checkpoint } from './loops/checkpoint';
export { type ScanOptions, scan } from './loops/scan';
export { whileLoop } from './loops/while-loop';
export { type AttentionOptions, scaledDotProductAttention } from './ops/attention/index';
export { cast, type FloatStorage, fromBytes, storageOf, toBytes, upload } from './ops/precision';
export * as random from './ops/random';
export { allGather, allReduce, axisIndex, type MeshAxes, reduceScatter } from './parallel/collectives';
export { type DeviceShard, readShards, replicate, shard, shardingOf } from './parallel/shard';
export { type ShardMapOptions, shardMap } from './parallel/shard-map';
export { type Mesh, mesh, type PartitionSpec } from './parallel/sharding';
export { evenSpec, gatherShards, shardLike } from './parallel/storage';
export type { Pytree } from './pytree';
export { type DeviceInfo, deviceInfo } from './runtime/device-info';
export { compilationStats } from './runtime/executables';
export { type Execution, observeExecutions } from './runtime/observe';
export { configure, type XlaOptions } from './runtime/settings';
