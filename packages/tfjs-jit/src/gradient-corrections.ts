/**
 * Gradients that fail in tfjs-core 4.22, and what stands in for each: those of `tf.prod` and of `tf.gather` with batches call
 * methods which tensors lack without chained operations, that of `tf.gather` needs a kernel that WebAssembly lacks, those of
 * `tf.unstack` and `tf.split` take the gradient of a single part for a list, that of `tf.cumsum` mixes up the axes unless it
 * runs along the last one, and some forget that an input was broadcast. Those of `tf.sum` and `tf.mean` fill an array on the
 * host with ones, as large as their input: while a large model is traced that takes longer than all else. Those of products
 * compute in the storage of the gradient that they get, which may be wider than their operands'.
 */
import * as tf from '@tensorflow/tfjs-core';
import { storageOf } from './storage';
import { storedLike } from './vjp';

/** What stands in for a gradient of tfjs-core, made of that one; nothing where it is needed and not registered. */
export type Correction = (own: tf.GradConfig | undefined) => Omit<tf.GradConfig, 'kernelName'> | undefined;

const listed = (dy: tf.Tensor | tf.Tensor[]): tf.Tensor[] => (Array.isArray(dy) ? dy : [dy]);

/** Each element's is the product of all others, without a division that zeros would spoil. */
function prodGradient(dy: tf.Tensor, x: tf.Tensor, axes: readonly number[]): tf.Tensor {
  const kept = x.shape.flatMap((_, i) => (axes.includes(i) ? [] : [i]));
  const order = [...kept, ...axes];
  const last = kept.length;
  const flat = tf.reshape(tf.transpose(x, order), [...kept.map((i) => x.shape[i]!), -1]);
  const others = tf.mul(tf.cumprod(flat, last, true, false), tf.cumprod(flat, last, true, true));
  const upstream = tf.reshape(dy, [...kept.map((i) => x.shape[i]!), 1]);
  const permuted = tf.reshape(
    tf.mul(upstream, others),
    order.map((i) => x.shape[i]!),
  );
  return tf.transpose(
    permuted,
    order.map((_, i) => order.indexOf(i)),
  );
}

/**
 * The gradient of picking rows, batch by batch where there are batches: these are laid end to end, so that each row goes back
 * to where it came from in one sum over segments.
 */
function gatherGradient(
  dy: tf.Tensor,
  x: tf.Tensor,
  indices: tf.Tensor,
  axis: number,
  batchDims: number,
): tf.Tensor {
  const size = (shape: readonly number[]) => tf.util.sizeFromShape([...shape]);
  const batch = size(x.shape.slice(0, batchDims));
  const between = size(x.shape.slice(batchDims, axis));
  const rows = x.shape[axis]!;
  const after = size(x.shape.slice(axis + 1));
  const picked = size(indices.shape.slice(batchDims));
  const swap = (y: tf.Tensor, shape: number[]) => tf.transpose(tf.reshape(y, shape), [0, 2, 1, 3]);
  const starts = tf.reshape(tf.mul(tf.range(0, batch, 1, 'int32'), tf.scalar(rows, 'int32')), [batch, 1]);
  const ids = tf.add(tf.reshape(indices, [batch, picked]), starts);
  const sums = segmentSum(
    tf.reshape(swap(dy, [batch, between, picked, after]), [batch * picked, between * after]) as tf.Tensor2D,
    tf.reshape(ids, [batch * picked]) as tf.Tensor1D,
    batch * rows,
  );
  return tf.reshape(swap(sums, [batch, rows, between, after]), x.shape);
}

const hasSegmentSum = () => Boolean(tf.getKernel(tf.UnsortedSegmentSum, tf.getBackend()));

/** Sums of the rows [n, k] that have the same id, [count, k]. */
function segmentSum(rows: tf.Tensor2D, ids: tf.Tensor1D, count: number): tf.Tensor {
  if (hasSegmentSum()) return tf.unsortedSegmentSum(rows, ids, count);
  return tf.scatterND(tf.reshape(ids, [-1, 1]), rows, [count, rows.shape[1]]); // which adds up too
}

/** Sums over the axes along which an input of this shape was repeated. */
function summedTo(dy: tf.Tensor, shape: number[]): tf.Tensor {
  const axes = tf.broadcast_util.getReductionAxes(shape, dy.shape);
  return axes.length === 0 ? dy : tf.reshape(tf.sum(dy, axes), shape);
}

/** The gradient of a sum over axes, at every element of `x`. */
function spreadOver(
  dy: tf.Tensor,
  x: tf.Tensor,
  axis: number | number[],
): { grad: tf.Tensor; count: number } {
  const axes = tf.util.parseAxisParam(axis, x.shape);
  const kept = x.shape.map((extent, i) => (axes.includes(i) ? 1 : extent));
  const count = axes.reduce((product, i) => product * x.shape[i]!, 1);
  return { grad: tf.mul(tf.reshape(dy, kept), tf.fill(x.shape, 1, 'float32')), count };
}

/** Makes a correction out of tfjs-core's own gradient. */
const from =
  (make: (own: tf.GradConfig) => tf.GradConfig['gradFunc']): Correction =>
  (own) =>
    own && { ...own, gradFunc: make(own) };

const gather = from((own) => (dy, saved, attrs) => {
  const [x, indices] = saved as [tf.Tensor, tf.Tensor];
  const { axis, batchDims } = attrs as unknown as tf.GatherV2Attrs;
  if (!batchDims && hasSegmentSum()) return own.gradFunc(dy, saved, attrs);
  const batches = batchDims < 0 ? batchDims + indices.rank : batchDims;
  const along = tf.util.parseAxisParam(axis, x.shape)[0]!;
  return {
    x: () => gatherGradient(dy as tf.Tensor, x, indices, along, batches),
    indices: () => indices,
  };
});

const broadcasting = from((own) => (dy, saved, attrs) => {
  const grads = Object.entries(own.gradFunc(dy, saved, attrs));
  // The saved tensors are the inputs, in the order of their names.
  const shapes = new Map(own.inputsToSave!.map((name, i) => [name, saved[i]!.shape]));
  return Object.fromEntries(grads.map(([name, grad]) => [name, () => summedTo(grad(), shapes.get(name)!)]));
});

/** Products of narrow operands have narrow gradients, also where what they were added to gave them a wide one. */
const narrow =
  (correct: Correction = (own) => own): Correction =>
  (own) => {
    const config = correct(own);
    return (
      config && {
        ...config,
        gradFunc: (dy, saved, attrs) => {
          const [left, right] = saved as [tf.Tensor, tf.Tensor];
          const given = storageOf(left) === storageOf(right) ? storedLike(dy as tf.Tensor, left) : dy;
          return config.gradFunc(given, saved, attrs);
        },
      }
    );
  };

/** By kernel. */
export const corrections: Readonly<Record<string, Correction>> = {
  [tf.Prod]: () => ({
    inputsToSave: ['x'],
    gradFunc: (dy, saved, attrs) => {
      const x = saved[0]!;
      const { axis } = attrs as unknown as tf.ProdAttrs;
      return { x: () => prodGradient(dy as tf.Tensor, x, tf.util.parseAxisParam(axis, x.shape)) };
    },
  }),
  [tf.Unpack]: () => ({
    gradFunc: (dy, _, attrs) => {
      const { axis } = attrs as unknown as tf.UnpackAttrs;
      return { value: () => tf.stack(listed(dy), axis) };
    },
  }),
  [tf.SplitV]: () => ({
    gradFunc: (dy, _, attrs) => {
      const { axis } = attrs as unknown as tf.SplitVAttrs;
      return { x: () => tf.concat(listed(dy), axis) };
    },
  }),
  [tf.Cumsum]: () => ({
    gradFunc: (dy, _, attrs) => {
      const { axis, exclusive, reverse } = attrs as unknown as tf.CumsumAttrs;
      return { x: () => tf.cumsum(dy as tf.Tensor, axis, exclusive, !reverse) };
    },
  }),
  [tf.Sum]: () => ({
    inputsToSave: ['x'],
    gradFunc: (dy, saved, attrs) => {
      const { axis } = attrs as unknown as tf.SumAttrs;
      return { x: () => spreadOver(dy as tf.Tensor, saved[0]!, axis).grad };
    },
  }),
  [tf.Mean]: () => ({
    inputsToSave: ['x'],
    gradFunc: (dy, saved, attrs) => {
      const { axis } = attrs as unknown as tf.MeanAttrs;
      return {
        x: () => {
          const { grad, count } = spreadOver(dy as tf.Tensor, saved[0]!, axis);
          return tf.div(grad, count);
        },
      };
    },
  }),
  [tf.GatherV2]: gather,
  [tf.BatchMatMul]: narrow(broadcasting),
  [tf.Conv2D]: narrow(),
  [tf.Conv3D]: narrow(),
  [tf.DepthwiseConv2dNative]: narrow(),
  [tf.Maximum]: broadcasting,
  [tf.Minimum]: broadcasting,
  [tf.Prelu]: broadcasting,
  [tf.SquaredDifference]: broadcasting,
};
