import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** How a module is compiled. Options left out have XLA's defaults. */
export interface CompileOptions {
  /** Copies that run side by side, each on its own arguments. Default 1. */
  numReplicas?: number;
  /** Parts that one program is split into over devices. Default 1. */
  numPartitions?: number;
  /** Let XLA split the program (and insert collectives). Default: when `numPartitions` is above 1. */
  useSpmdPartitioning?: boolean;
  /** Shardings are Shardy's (`sdy.sharding`). Default: when `numPartitions` is above 1. */
  useShardyPartitioner?: boolean;
  /** Device ids, `[replica][partition]`. Default: the client's own choice. */
  deviceAssignment?: readonly (readonly number[])[];
  /** One program for any one device of the client; name it in `execute(…, { device })`. */
  portable?: boolean;
  /** XLA flags without dashes, as in XLA_FLAGS: `{ xla_gpu_enable_triton_gemm: false }`. */
  debugOptions?: Readonly<Record<string, string | number | bigint | boolean>>;
  /** Result `i` may share the memory of a parameter returned unchanged. Default false. */
  aliasPassthroughParams?: boolean;
}

/** CompileOptionsProto (xla/pjrt/proto/compile_options.proto), serialized. */
export function encodeCompileOptions(options: CompileOptions = {}): Uint8Array {
  const { numReplicas = 1, numPartitions = 1, deviceAssignment, debugOptions = {} } = options;
  const partitioned = numPartitions > 1;

  const build = new BinaryWriter();
  if (options.portable !== true) build.tag(1, WireType.Varint).int64(-1);
  build.tag(4, WireType.Varint).int64(numReplicas);
  build.tag(5, WireType.Varint).int64(numPartitions);
  if (options.useSpmdPartitioning ?? partitioned) build.tag(6, WireType.Varint).bool(true);
  if (deviceAssignment !== undefined) {
    build.tag(9, WireType.LengthDelimited).bytes(encodeDeviceAssignment(deviceAssignment));
  }
  if (options.aliasPassthroughParams === true) build.tag(10, WireType.Varint).bool(true);
  if (options.useShardyPartitioner ?? partitioned) build.tag(19, WireType.Varint).bool(true);

  const writer = new BinaryWriter();
  writer.tag(3, WireType.LengthDelimited).bytes(build.finish());
  if (options.portable === true) writer.tag(4, WireType.Varint).bool(true);
  for (const [key, value] of Object.entries(debugOptions)) {
    const entry = new BinaryWriter().tag(1, WireType.LengthDelimited).string(key);
    entry.tag(2, WireType.LengthDelimited).bytes(encodeOverride(value));
    writer.tag(7, WireType.LengthDelimited).bytes(entry.finish());
  }
  return writer.finish();
}

/** DeviceAssignmentProto: one ComputationDevice a partition, listing the device of each replica. */
function encodeDeviceAssignment(assignment: readonly (readonly number[])[]): Uint8Array {
  const partitions = assignment[0]?.length ?? 0;
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Varint).int32(assignment.length);
  writer.tag(2, WireType.Varint).int32(partitions);
  for (let partition = 0; partition < partitions; partition++) {
    const ids = new BinaryWriter();
    for (const replica of assignment) ids.int64(replica[partition]!);
    const device = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(ids.finish());
    writer.tag(3, WireType.LengthDelimited).bytes(device.finish());
  }
  return writer.finish();
}

/** OptionOverrideProto: whole numbers go as int64, which XLA also accepts for its float flags' integers. */
function encodeOverride(value: string | number | bigint | boolean): Uint8Array {
  const writer = new BinaryWriter();
  if (typeof value === 'string') return writer.tag(1, WireType.LengthDelimited).string(value).finish();
  if (typeof value === 'boolean') return writer.tag(2, WireType.Varint).bool(value).finish();
  if (typeof value === 'bigint' || Number.isInteger(value)) {
    return writer.tag(3, WireType.Varint).int64(value).finish();
  }
  return writer.tag(4, WireType.Bit64).double(value).finish();
}
