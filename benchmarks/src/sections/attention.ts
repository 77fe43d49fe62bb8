/** Attention with grouped heads: cuDNN's on a GPU. */
import { cast, jit, random, scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { report } from '../reporting';
import { timedMany } from '../timing';
import { attentionFlops, type Workload } from '../workload';

export async function attention(workload: Workload): Promise<void> {
  const { storage, rounds } = workload;
  const { batch, length, heads, kvHeads, size } = workload.attention;
  const make = (heads: number, seed: number) =>
    jit((key: tf.Tensor) => cast(random.normal(key, [batch, length, heads, size]), storage))(
      random.key(seed),
    );
  const [q, k, v, dy] = [make(heads, 1), make(kvHeads, 2), make(kvHeads, 3), make(heads, 4)];
  const kvLengths = tf.fill([batch], length, 'int32');

  const forward = jit((q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, kvLengths: tf.Tensor) =>
    scaledDotProductAttention(q, k, v, { kvLengths }),
  );
  const flops = attentionFlops(workload.attention);
  const one = await timedMany(() => forward(q, k, v, kvLengths), 20, { rounds });
  report('attention.forward', { ...one, ...workload.attention, tflops: flops / one.ms / 1e9 });

  const both = jit((q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, kvLengths: tf.Tensor, dy: tf.Tensor) => {
    const f = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => scaledDotProductAttention(q, k, v, { kvLengths });
    return tf.grads(f)([q, k, v], dy);
  });
  const two = await timedMany(() => both(q, k, v, kvLengths, dy), 20, { rounds });
  // The backward pass does five products where the forward pass does two.
  report('attention.forwardBackward', {
    ...two,
    ...workload.attention,
    tflops: (3.5 * flops) / two.ms / 1e9,
  });
}
