/** A part of the program that is written for one device and run by all devices of a mesh on their shards. */
import { type Mesh, type PartitionSpec, type Sharding, sharding } from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from '../backend';
import { hlo, type TensorType, type Value } from '../stablehlo';
import { currentFrame } from '../trace/frame';
import { inBlock, tensorOf, tracedValue } from '../trace/values';
import { localShape, shardingText } from './sharding';

/** One sdy.manual_computation; `specs` are known once `local` ran. */
export function perDevice(
  mesh: Mesh,
  tensors: readonly tf.Tensor[],
  ins: readonly Sharding[],
  specs: () => readonly PartitionSpec[],
  local: (shards: readonly tf.Tensor[]) => readonly tf.Tensor[],
): tf.Tensor[] {
  const backend = tf.backend() as XlaBackend;
  const { block, trace } = currentFrame()!;
  trace.useMesh(mesh);
  const values = tensors.map((tensor) => tracedValue(tensor, backend));
  const locals = values.map(
    (value, i): TensorType => ({ shape: localShape(ins[i]!, value.shape), dtype: value.dtype }),
  );
  let dtypes: tf.DataType[] = [];
  const body = (b: typeof block, shards: Value[]): Value[] =>
    inBlock(
      b,
      backend,
      () => {
        const results = local(shards.map((value, i) => tensorOf(value, tensors[i]!.dtype, backend)));
        dtypes = results.map(({ dtype }) => dtype);
        return results;
      },
      mesh,
    );
  // Traced once for the types of the results, which the operation states before its body.
  const probed = hlo.region(block, locals, body).results;
  const outs = probed.map((value, i) => wholeType(mesh, specs()[i]!, value));
  const results = hlo.manualComputation(
    block,
    values,
    locals,
    outs.map(({ type }) => type),
    {
      inShardings: ins.map(shardingText),
      outShardings: outs.map(({ layout }) => shardingText(layout)),
      axes: Object.keys(mesh.axes),
      devices: mesh.size,
    },
    body,
  );
  return results.map((value, i) => {
    const result = tensorOf(value, dtypes[i]!, backend);
    backend.find(result.dataId).constraint = outs[i]!.layout;
    return result;
  });
}

/** Type of the whole tensor whose shards have this type. */
function wholeType(
  mesh: Mesh,
  spec: PartitionSpec,
  local: TensorType,
): { type: TensorType; layout: Sharding } {
  const shape = local.shape.map((extent, i) => {
    const entry = spec[i] ?? null;
    const names = entry === null ? [] : typeof entry === 'string' ? [entry] : entry;
    return names.reduce((n, name) => n * (mesh.axes[name] ?? 1), extent);
  });
  return { type: { shape, dtype: local.dtype }, layout: sharding(mesh, spec, shape) };
}
