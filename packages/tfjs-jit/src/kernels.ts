/**
 * Kernels that tfjs-core has no name for. A backend that registers one runs it; elsewhere the operation is made of plain
 * tfjs operations. None has a registered gradient: the operations here give their own.
 */
import * as tf from '@tensorflow/tfjs-core';

/** `{ x }` with `{ storage: FloatStorage }` → x stored so. */
export const CONVERT = 'ConvertStorage';
/** `{ key }` with `{ shape }` → float32 of that shape: the numbers of random/threefry.ts. */
export const RANDOM_NORMAL = 'KeyedRandomNormal';
export const RANDOM_UNIFORM = 'KeyedRandomUniform';
/** `{ key, data }`, int32 [2] and an int32 scalar → int32 [2]. */
export const RANDOM_FOLD_IN = 'RandomKeyFoldIn';
/**
 * `{ q, k, v }` and where there are any `mask`, `kvLengths`, `qLengths`, as for `scaledDotProductAttention`, with
 * `{ scale: number, causal: boolean }` → [output, what the gradient takes as `saved`].
 */
export const ATTENTION = 'DotProductAttention';
/** The same → the output alone. */
export const ATTENTION_INFERENCE = 'DotProductAttentionInference';
/** The inputs of ATTENTION, its `output` and `saved`, and `dy` → gradients of q, k, v and, where there is one, the mask. */
export const ATTENTION_GRAD = 'DotProductAttentionGrad';

/** Whether the active backend has a kernel. */
export const hasKernel = (name: string): boolean => tf.getKernel(name, tf.getBackend()) !== undefined;

export const runKernel = <T extends tf.Tensor | tf.Tensor[] = tf.Tensor>(
  name: string,
  inputs: tf.NamedTensorMap,
  attrs: object = {},
): T => tf.engine().runKernel(name, inputs, attrs as tf.NamedAttrMap) as T;
