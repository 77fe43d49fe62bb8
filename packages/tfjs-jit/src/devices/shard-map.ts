/** Functions written for one device, run by all devices of a mesh on their shards. */
import * as tf from '@tensorflow/tfjs-core';
import { activeCompiler, requireCompiler } from '../compiler';
import { jit } from '../jit';
import { flatten, type TreeDef, unflatten } from '../tree';
import { customVjp, isFloat, isRecording, vjp } from '../vjp';
import { allReduce } from './collectives';
import { type Mesh, type PartitionSpec, type Sharding, sharding } from './partition';

export interface ShardMapOptions {
  mesh: Mesh;
  /** One spec per argument, for all tensors in it. */
  inSpecs: readonly PartitionSpec[];
  /** One spec per element of the array that the function returns, for all tensors in it. */
  outSpecs: readonly PartitionSpec[];
}

/**
 * Makes `fn`, written for the shards of one device, a function of whole tensors. Inside, `allReduce`, `allGather`,
 * `reduceScatter` and `axisIndex` reach the other devices, and operations that a compiler cannot partition by itself (fused
 * attention) run on shards. What a spec leaves unsplit must be the same on every device. Differentiable from inside and
 * outside.
 *
 * `fn` reads tensors from its arguments and, where no gradient is taken of it from outside, tensors that are outside of
 * the jitted function around it: these are whole on every device.
 */
export function shardMap<A extends unknown[], R extends unknown[]>(
  fn: (...args: A) => R,
  options: ShardMapOptions,
): (...args: A) => R {
  const mapped = (...args: A): R => mapShards(fn, options, args);
  const compiled = jit(mapped, { name: fn.name || 'shardMap' });
  return (...args) => {
    const compiler = requireCompiler('shardMap: several devices need');
    return compiler.isTracing() ? mapped(...args) : compiled(...args);
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
  const compiler = activeCompiler()!;
  const { tensors, def } = flatten(args, 'shardMap: arguments');
  const ins = args.flatMap((arg, i) =>
    flatten(arg).tensors.map((tensor) => sharding(mesh, inSpecs[i]!, tensor.shape)),
  );
  let structure: TreeDef | undefined;
  let specs: PartitionSpec[] = [];
  const local = (shards: readonly tf.Tensor[]): tf.Tensor[] => {
    const result = fn(...(unflatten(def, shards) as A));
    if (!Array.isArray(result) || result.length !== outSpecs.length) {
      throw new Error(`shardMap: the function must return an array of ${outSpecs.length}, one per outSpec`);
    }
    const flat = flatten(result, 'shardMap: result');
    structure = flat.def;
    specs = result.flatMap((part, i) => flatten(part).tensors.map(() => outSpecs[i]!));
    return flat.tensors;
  };
  const forward = (captures: boolean) => compiler.perDevice(mesh, tensors, ins, () => specs, local, captures);
  if (!isRecording()) {
    const results = forward(true);
    return unflatten(structure!, results) as R;
  }
  const floats = tensors.map((tensor, i) => ({ tensor, i })).filter(({ tensor }) => isFloat(tensor));
  const outputs = customVjp(
    floats.map(({ tensor }) => tensor),
    (save) => {
      save([...tensors]);
      return forward(false);
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
      return compiler.perDevice(
        mesh,
        [...saved, ...dys],
        [...ins, ...outs],
        () => layouts.map(specOf),
        backward,
        false,
      );
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
