/** Programs that run for the first time while others are compiled: XLA records CUDA graphs in the one and measures algorithms in the other. */
import { setTimeout } from 'node:timers/promises';
import { cast, compileAhead, jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { report } from '../reporting';
import type { Workload } from '../workload';

/** Programs that run, and those that are compiled meanwhile, of products of sizes that no other has. */
const RUNNING = 400;
const COMPILED = 12;
const PRODUCTS = 8;
const WIDTH = 8;
/** Between two of those that run, so that they meet all of the others. */
const PAUSE_MS = 20;

export async function runWhileCompiling({ matmul }: Workload): Promise<void> {
  const small = tf.ones<tf.Rank.R2>([64, 64]);
  const running = Array.from({ length: RUNNING }, (_, i) =>
    jit(
      (x: tf.Tensor2D) => {
        let y = x;
        for (let k = 0; k < PRODUCTS; k++) y = tf.mul(tf.tanh(tf.matMul(y, x)), 1 + i);
        return tf.sum(y);
      },
      { name: `running${i}` },
    ),
  );
  await Promise.all(running.map((f) => f.compile(small)));

  const large = cast(tf.ones<tf.Rank.R2>([matmul / 8, WIDTH * COMPILED * PRODUCTS]), 'bfloat16');
  const compiled = Array.from({ length: COMPILED }, (_, i) =>
    jit(
      (x: tf.Tensor2D) => {
        const part = (k: number) => tf.slice(x, [0, 0], [-1, WIDTH * (PRODUCTS * i + k + 1)]);
        return Array.from({ length: PRODUCTS }, (_, k) => tf.matMul(part(k), part(k), true));
      },
      { name: `compiled${i}` },
    ),
  );
  let isCompiling = true;
  const ready = compileAhead(() => compiled.map((f) => f(large))).finally(() => {
    isCompiling = false;
  });
  const errors: string[] = [];
  let [ran, whileCompiling] = [0, 0];
  for (const f of running) {
    try {
      const result = f(small);
      await result.data();
      result.dispose();
    } catch (error) {
      errors.push((error as Error).message);
    }
    await setTimeout(PAUSE_MS);
    ran++;
    if (isCompiling) whileCompiling++;
  }
  await ready;
  report('runWhileCompiling', { ran, whileCompiling, failed: errors.length, firstError: errors[0] ?? null });
}
