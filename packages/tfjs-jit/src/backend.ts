/**
 * For authors of a tfjs backend that compiles: what its instance carries, the kernels it may register, and what its
 * implementation shares with the portable functions.
 */
export {
  COMPILER,
  type Collective,
  type CompiledFunction,
  type Compiler,
  type Cost,
  type DeviceInfo,
  type DeviceShard,
  type FloatStorage,
  type Lowered,
  type PlannedProgram,
  type PlannedWork,
} from './compiler';
export {
  type Mesh,
  meshKey,
  type PartitionSpec,
  replicated,
  type Sharding,
  sharding,
} from './devices/partition';
export { float16Value, widenBfloat16 } from './half-floats';
export {
  ATTENTION,
  ATTENTION_GRAD,
  ATTENTION_INFERENCE,
  CONVERT,
  RANDOM_FOLD_IN,
  RANDOM_NORMAL,
  RANDOM_UNIFORM,
} from './kernels';
export { checkCondition, checkSameTensors } from './loops/check';
export { ERF_INV_CENTRAL, ERF_INV_TAIL, NORMAL_LOW, PARITY, ROTATIONS } from './random/threefry';
export { flatten, matchTree, type TreeDef, unflatten } from './tree';
export { customVjp, isFloat, isRecording, vjp, withFreshTape } from './vjp';
