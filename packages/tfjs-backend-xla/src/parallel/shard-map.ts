/** Functions written for one device, run by all devices of a mesh on their shards. */
import * as tf from '@tensorflow/tfjs-core';
import { isXla } from '../active';
import type { XlaBackend } from '../backend';
import { customVjp, isFloat, isRecording, vjp } from '../grad/vjp';
import { jit } from '../jit';
import { flatten, type TreeDef, unflatten } from '../pytree';
import { hlo, type TensorType, type Value } from '../stablehlo';
import { currentFrame, isTracing } from '../trace/frame';
import { inBlock, tensorOf, tracedValue } from '../trace/values';
import { allReduce } from './collectives';
import { localShape, type Mesh, type PartitionSpec, type Sharding, sharding, shardingText } from './sharding';

export interface ShardMapOptions {
  mesh: Mesh;
  /** One spec an argument, for all tensors in it. */
  inSpecs: readonly PartitionSpec[];
  /** One spec an element of the array that the function returns, for all tensors in it. */
  outSpecs: readonly PartitionSpec[];
}

/**
 * Makes `fn`, written for the shards of one device, a function of whole tensors. Inside, `allReduce`, `allGather`,
 * `reduceScatter` and `axisIndex` reach the other devices, and operations that XLA cannot partition by itself (fused
 * attention) run on shards. What a spec leaves unsplit must be the same on every device. `fn` reads tensors from its
 * arguments only. Differentiable from inside and outside.
 */
export function shardMap<A extends unknown[], R extends unknown[]>(
  fn: (...args: A) => R,
  options: ShardMapOptions,
): (...args: A) => R {
  const mapped = (...args: A): R => mapShards(fn, options, args);
  const compiled = jit(mapped, { name: fn.name || 'shardMap' });
  return (...args) => {
    if (!isXla())
      throw new Error("shardMap: several devices need the XLA backend: await tf.setBackend('xla')");
    return isTracing() ? mapped(...args) : compiled(...args);
  };
}

function mapShards<A extends unknown[], R extends unknown[]>(
  fn: (...args: A) => R,
  { mesh, inSpecs, outSpecs }: ShardMapOptions,
  args: A,
): R {
  if (args.length !== inSpecs.length) {
    throw new Error(`shardMap: ${inSpecs.length} inSpecs for ${args.length} arguments`);
  }
  currentFrame()!.trace.useMesh(mesh);
  const { tensors, def } = flatten(args, 'shardMap: arguments');
  const ins = args.flatMap((arg, i) =>
    flatten(arg).tensors.map((tensor) => sharding(mesh, inSpecs[i]!, tensor.shape)),
  );
  let structure: TreeDef | undefined;
  let specs: PartitionSpec[] = [];
  const local = (shards: readonly tf.Tensor[]): tf.Tensor[] => {
    const result = fn(...(unflatten(def, shards) as A));
    if (!Array.isArray(result) || result.length !== outSpecs.length) {
      throw new Error(`shardMap: the function must return an array of ${outSpecs.length}, one an outSpec`);
    }
    const flat = flatten(result, 'shardMap: result');
    structure = flat.def;
    specs = result.flatMap((part, i) => flatten(part).tensors.map(() => outSpecs[i]!));
    return flat.tensors;
  };
  const forward = () => manual(mesh, tensors, ins, () => specs, local);
  if (!isRecording()) {
    const results = forward();
    return unflatten(structure!, results) as R;
  }
  const floats = tensors.map((tensor, i) => ({ tensor, i })).filter(({ tensor }) => isFloat(tensor));
  const outputs = customVjp(
    floats.map(({ tensor }) => tensor),
    (save) => {
      save([...tensors]);
      return forward();
    },
    (dys, saved) => {
      if (isRecording()) throw new Error('shardMap: gradients of its gradients are not supported');
      const outs = dys.map((dy, i) => sharding(mesh, specs[i]!, dy.shape));
      // A result that several devices hold counts once: each passes on its share.
      const backward = (shards: readonly tf.Tensor[]): tf.Tensor[] => {
        const xs = shards.slice(0, tensors.length);
        const weights = shards.slice(tensors.length).map((dy, i) => {
          const copies = unused(mesh, outs[i]!).reduce((n, name) => n * mesh.axes[name]!, 1);
          return copies === 1 || !isFloat(dy) ? dy : tf.div(dy, copies);
        });
        const grads = vjp(
          () => local(xs),
          floats.map(({ i }) => xs[i]!),
          weights,
        );
        return grads.map((grad, k) => {
          const rest = unused(mesh, ins[floats[k]!.i]!);
          return rest.length === 0 ? grad : allReduce(grad, rest);
        });
      };
      const layouts = floats.map(({ i }) => ins[i]!);
      return manual(mesh, [...saved, ...dys], [...ins, ...outs], () => layouts.map(specOf), backward);
    },
  );
  return unflatten(structure!, outputs) as R;
}

const specOf = ({ spec }: Sharding): PartitionSpec => spec;

/** Mesh axes that a tensor is not split over. */
const unused = (mesh: Mesh, { spec }: Sharding): string[] =>
  Object.keys(mesh.axes).filter(
    (name) => mesh.axes[name]! > 1 && !spec.some((names) => names.includes(name)),
  );

/** One sdy.manual_computation; `specs` are known once `local` ran. */
function manual(
  mesh: Mesh,
  tensors: readonly tf.Tensor[],
  ins: readonly Sharding[],
  specs: () => readonly PartitionSpec[],
  local: (shards: readonly tf.Tensor[]) => readonly tf.Tensor[],
): tf.Tensor[] {
  const backend = tf.backend() as XlaBackend;
  const { block } = currentFrame()!;
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
