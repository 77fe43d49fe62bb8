/** Puts tensors on several devices. */
import type * as tf from '@tensorflow/tfjs-core';
import { activeCompiler, type Compiler, type DeviceShard, requireCompiler } from '../compiler';
import { map } from '../tree';
import { customVjp, isFloat, isRecording } from '../vjp';
import {
  isReplicated,
  type Mesh,
  type PartitionSpec,
  replicated,
  type Sharding,
  sharding,
} from './partition';

/**
 * The tensor laid out over a mesh: axis i is split along the mesh axis (or axes) `spec[i]`, axes without one are not
 * split. Outside jit it copies the shards to their devices; inside it tells the compiler how to shard the value.
 *
 * @throws when an axis is not divisible, and where there is no compiler.
 */
export function shard<T extends tf.Tensor>(x: T, mesh: Mesh, spec: PartitionSpec): T {
  const compiler = requireCompiler('shard: several devices need');
  const layout = sharding(mesh, spec, x.shape);
  return placed(compiler, x, layout, layout) as T;
}

/** The whole tensor on every device of the mesh. */
export const replicate = <T extends tf.Tensor>(x: T, mesh: Mesh): T => shard(x, mesh, []);

/**
 * Moves the values of a tensor itself: whoever holds it has it in parts from now on, and the whole is gone from the device that
 * had it. For weights that a model's functions have taken hold of already. Programs that read it are traced anew.
 *
 * @throws as `shard` does, inside jit, and for a tensor that shares its values with one of another shape.
 */
export function shardInPlace(x: tf.Tensor, mesh: Mesh, spec: PartitionSpec): void {
  const compiler = requireCompiler('shardInPlace: several devices need');
  if (compiler.isTracing())
    throw new Error('shardInPlace: inside jit no values can be moved; call it before');
  compiler.shardInPlace(x, sharding(mesh, spec, x.shape));
}

/** How a tensor is sharded over devices; undefined for a tensor on one device. */
export function shardingOf(x: tf.Tensor): { mesh: Mesh; spec: PartitionSpec } | undefined {
  const found = activeCompiler()?.layoutOf(x);
  return (
    found && {
      mesh: found.mesh,
      spec: found.spec.map((names) => (names.length > 1 ? names : (names[0] ?? null))),
    }
  );
}

/**
 * What each device of the mesh holds of a tensor, read without assembling it. A part that several devices hold is returned once,
 * from the first of them. A tensor on one device is its only part. Each of several processes gets the parts of its own devices;
 * no two get the same, and together they have the whole.
 */
export async function readShards(x: tf.Tensor): Promise<DeviceShard[]> {
  return requireCompiler('readShards: needs').readShards(x);
}

/**
 * What this process's devices hold of a tensor, as a tensor over these devices alone: the rows of a batch that are this
 * process's to look at. The tensor itself is gone. Where one process has all devices it comes back as it is.
 */
export function takeLocal<T extends tf.Tensor>(x: T): T {
  const compiler = activeCompiler();
  return compiler ? (compiler.takeLocal(x) as T) : x;
}

/**
 * `x` laid out like `other`: what an optimizer returns, like what it was given.
 *
 * @throws when the shapes differ.
 */
export function shardLike<T extends tf.Tensor>(x: T, other: tf.Tensor): T {
  if (x.shape.length !== other.shape.length || x.shape.some((extent, i) => extent !== other.shape[i])) {
    throw new Error(`shardLike: [${x.shape}] cannot lie like [${other.shape}], the shapes differ`);
  }
  const compiler = activeCompiler();
  const layout = compiler?.layoutOf(other);
  return compiler && layout ? (compiler.place(x, layout) as T) : x;
}

/**
 * Inside jit, the tensors of a pytree whole on every device, where they are known to be split: arguments and captured
 * tensors, the slices of them that `scan` hands out, and casts of these. Everything else, and everything outside jit,
 * comes back as it is.
 *
 * Call it where a layer reads its weights. In the step of a `scan` or in `checkpoint` the gathered weights live as long
 * only as that layer, and the backward pass gathers them again; their gradients leave sharded like the weights, by a
 * reduce-scatter. Parameters stored like this are sharded as in ZeRO (Rajbhandari et al., 2020).
 */
export function gatherShards<T>(tree: T): T {
  const compiler = activeCompiler();
  if (!compiler?.isTracing() || compiler.perDeviceMesh()) return tree;
  return map(tree, (x) => {
    const layout = compiler.layoutOf(x);
    if (!layout || isReplicated(layout)) return x;
    return placed(compiler, x, replicated(layout.mesh, x.shape), layout);
  });
}

/** `x` laid out by `layout`, its gradient by `gradient`. */
function placed(compiler: Compiler, x: tf.Tensor, layout: Sharding, gradient: Sharding): tf.Tensor {
  if (!isRecording() || !isFloat(x)) return compiler.place(x, layout);
  return customVjp(
    [x],
    () => [compiler.place(x, layout)],
    ([dy]) => [compiler.place(dy!, gradient)],
  )[0]!;
}
