/**
 * Gradients that fail in tfjs-core 4.22, registered over its own: that of `tf.prod` calls methods which tensors lack
 * without chained operations, those of `tf.unstack` and `tf.split` take the gradient of a single part for a list.
 */
import * as tf from '@tensorflow/tfjs-core';

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

tf.registerGradient({
  kernelName: tf.Prod,
  inputsToSave: ['x'],
  gradFunc: (dy, saved, attrs) => {
    const x = saved[0]!;
    const { axis } = attrs as unknown as tf.ProdAttrs;
    return { x: () => prodGradient(dy as tf.Tensor, x, tf.util.parseAxisParam(axis, x.shape)) };
  },
});

tf.registerGradient({
  kernelName: tf.Unpack,
  gradFunc: (dy, _, attrs) => {
    const { axis } = attrs as unknown as tf.UnpackAttrs;
    return { value: () => tf.stack(listed(dy), axis) };
  },
});

tf.registerGradient({
  kernelName: tf.SplitV,
  gradFunc: (dy, _, attrs) => {
    const { axis } = attrs as unknown as tf.SplitVAttrs;
    return { x: () => tf.concat(listed(dy), axis) };
  },
});
