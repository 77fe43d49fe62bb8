/** Tensors that are stored in parts and used whole: parameters sharded as in ZeRO (Rajbhandari et al., 2020). */
import * as tf from '@tensorflow/tfjs-core';
import { isXla } from '../active';
import type { XlaBackend } from '../backend';
import { customVjp, isFloat, isRecording } from '../grad/vjp';
import { mapTensors, type Pytree } from '../pytree';
import { isTracing, perDeviceMesh } from '../trace/frame';
import type { MeshAxes } from './collectives';
import { replicated } from './placement';
import { place } from './shard';
import { isReplicated, type Mesh, type PartitionSpec } from './sharding';

/**
 * A spec that stores 1/N of a tensor of this shape on each of N devices: the longest axis that divides evenly is split.
 *
 * @param along Mesh axes to split over; all of them by default.
 * @param from First axis that may be split: 1 keeps the leading axis of stacked layers whole, so that `scan` takes
 * slices of it without moving anything.
 * @returns [] (the whole tensor on every device) where no axis divides evenly.
 * @throws when the mesh lacks an axis of `along`.
 */
export function evenSpec(
  shape: readonly number[],
  mesh: Mesh,
  along: MeshAxes = Object.keys(mesh.axes),
  from = 0,
): PartitionSpec {
  const names = typeof along === 'string' ? [along] : [...along];
  const parts = names.reduce((product, name) => {
    const size = mesh.axes[name];
    if (size === undefined) throw new Error(`evenSpec: the mesh ${mesh.key} has no axis "${name}"`);
    return product * size;
  }, 1);
  let best = -1;
  for (let axis = from; axis < shape.length; axis++) {
    const extent = shape[axis]!;
    if (extent > 0 && extent % parts === 0 && (best < 0 || extent > shape[best]!)) best = axis;
  }
  return best < 0 || parts === 1 ? [] : [...new Array<null>(best).fill(null), names];
}

/**
 * Inside jit, the tensors of a pytree whole on every device, where they are known to be split: arguments and captured
 * tensors, the slices of them that `scan` hands out, and casts of these. Everything else, and everything outside jit,
 * comes back as it is.
 *
 * Call it where a layer reads its weights. In the step of a `scan` or in `checkpoint` the gathered weights live as long
 * as that layer only, and the backward pass gathers them anew; their gradients leave split like the weights, which is
 * a reduce-scatter.
 */
export function gatherShards<T extends Pytree>(tree: T): T {
  if (!isXla() || !isTracing() || perDeviceMesh()) return tree;
  return mapTensors(tree, gathered);
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
  const layout = layoutOf(other);
  return layout ? (place(x, layout) as T) : x;
}

const layoutOf = (x: tf.Tensor) => (isXla() ? (tf.backend() as XlaBackend).find(x.dataId).layout : undefined);

function gathered(x: tf.Tensor): tf.Tensor {
  const layout = layoutOf(x);
  if (!layout || isReplicated(layout)) return x;
  const whole = replicated(layout.mesh, x.shape);
  if (!isRecording() || !isFloat(x)) return place(x, whole);
  return customVjp(
    [x],
    () => [place(x, whole)],
    ([dy]) => [place(dy!, layout)],
  )[0]!;
}
