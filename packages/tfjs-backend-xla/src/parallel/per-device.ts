/** A part of the program that is written for one device and run by all devices of a mesh on their shards. */
import {
  type Mesh,
  type PartitionSpec,
  replicated,
  type Sharding,
  sharding,
} from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from '../backend';
import { hlo, type TensorType, type Value } from '../stablehlo';
import type { PerDeviceValue } from '../stablehlo/collective';
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
  captures: boolean,
): tf.Tensor[] {
  const backend = tf.backend() as XlaBackend;
  const { block, trace } = currentFrame()!;
  trace.useMesh(mesh);
  const operands = tensors.map((tensor, i) => {
    const value = tracedValue(tensor, backend);
    return { value, local: shardOf(value, ins[i]!) };
  });
  let dtypes: tf.DataType[] = [];
  let layouts: Sharding[] = [];
  const results = hlo.manualComputation(
    block,
    operands,
    { axes: Object.keys(mesh.axes), devices: mesh.size },
    (b, shards, more) => {
      // What comes from outside of the program is the same on every device.
      const inside = new Map<Value, Value>();
      const capture = (outside: Value): Value => {
        const known = inside.get(outside) ?? more(outside, shardOf(outside, replicated(mesh, outside.shape)));
        inside.set(outside, known);
        return known;
      };
      const body = (): readonly tf.Tensor[] => {
        const given = local(shards.map((value, i) => tensorOf(value, tensors[i]!.dtype, backend)));
        dtypes = given.map(({ dtype }) => dtype);
        return given;
      };
      return inBlock(b, backend, body, { mesh, capture: captures ? capture : undefined });
    },
    (locals) => {
      const wholes = locals.map((value, i) => wholeOf(mesh, specs()[i]!, value));
      layouts = wholes.map(({ layout }) => layout);
      return wholes.map(({ type, layout }) => ({ type, sharding: shardingText(layout) }));
    },
  );
  return results.map((value, i) => {
    const result = tensorOf(value, dtypes[i]!, backend);
    backend.find(result.dataId).constraint = layouts[i]!;
    return result;
  });
}

/** A value as one device holds it. */
const shardOf = ({ shape, dtype }: Value, layout: Sharding): PerDeviceValue => ({
  type: { shape: localShape(layout, shape), dtype },
  sharding: shardingText(layout),
});

/** The whole tensor whose shards have this type. */
function wholeOf(mesh: Mesh, spec: PartitionSpec, local: TensorType): { type: TensorType; layout: Sharding } {
  const shape = local.shape.map((extent, i) => {
    const entry = spec[i] ?? null;
    const names = entry === null ? [] : typeof entry === 'string' ? [entry] : entry;
    return names.reduce((n, name) => n * (mesh.axes[name] ?? 1), extent);
  });
  return { type: { shape, dtype: local.dtype }, layout: sharding(mesh, spec, shape) };
}
