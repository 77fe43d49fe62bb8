/** A large square matrix product: how near the backend comes to what the device can do. */
import { cast, jit, random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { report } from '../reporting';
import { timedMany } from '../timing';
import { matmulFlops, type Workload } from '../workload';

export async function matmul({ matmul: n, storage, rounds }: Workload): Promise<void> {
  const make = jit((key: tf.Tensor) => cast(random.normal(key, [n, n]), storage) as tf.Tensor2D);
  const [a, b] = random.split(random.key(0)).map((key) => make(key)) as [tf.Tensor2D, tf.Tensor2D];
  const product = jit((x: tf.Tensor2D, y: tf.Tensor2D) => cast(tf.matMul(x, y), storage));
  const times = await timedMany(() => product(a, b), 20, { rounds });
  report('matmul.square', { ...times, size: n, tflops: matmulFlops(n) / times.ms / 1e9 });
}
