/**
 * Not a time but the numbers: what a device computes in its own way beside what it must give. Attention in bfloat16 and
 * float16 (cuDNN's on a GPU) beside the same in float32, forward and backward; random numbers beside those of a CPU.
 */
import {
  type AttentionOptions,
  cast,
  type FloatStorage,
  jit,
  random,
  scaledDotProductAttention,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { report } from '../reporting';

interface AttentionCase {
  readonly heads: number;
  readonly kvHeads: number;
  readonly size: number;
  readonly queries: number;
  readonly keys: number;
  readonly options?: 'lengths' | 'causal' | 'mask' | 'bothLengths';
}

const BATCH = 3;
const CASES: readonly AttentionCase[] = [
  { heads: 12, kvHeads: 2, size: 128, queries: 730, keys: 858, options: 'lengths' },
  { heads: 32, kvHeads: 8, size: 64, queries: 730, keys: 858, options: 'bothLengths' },
  { heads: 16, kvHeads: 16, size: 72, queries: 729, keys: 729 },
  { heads: 12, kvHeads: 2, size: 128, queries: 128, keys: 128, options: 'causal' },
  { heads: 4, kvHeads: 2, size: 64, queries: 100, keys: 100, options: 'mask' },
  { heads: 4, kvHeads: 4, size: 256, queries: 96, keys: 96 },
];
/** Relative error, as norms: operands and results of 8 or 11 bits, sums in float32. */
const LIMITS = { bfloat16: 1e-2, float16: 2e-3 } as const;

/** The first of `random.uniform` and `random.normal` with key 7 on a CPU. */
const UNIFORM: readonly number[] = [
  0.6740899085998535, 0.9746168851852417, 0.3028435707092285, 0.4439585208892822, 0.7308865785598755,
  0.6309295892715454,
];
const NORMAL: readonly number[] = [
  0.4512351453304291, 1.9534509181976318, -0.5162394642829895, -0.14094029366970062, 0.6154966950416565,
  0.3343164920806885,
];

export async function agreement(): Promise<void> {
  const wrong: string[] = [];
  for (const storage of ['bfloat16', 'float16'] as const) {
    for (const each of CASES) {
      const errors = await attentionErrors(each, storage);
      const limit = LIMITS[storage];
      const agrees = Object.values(errors).every((error) => error < limit);
      report('agreement.attention', { storage, ...each, ...errors, limit, agrees });
      if (!agrees) wrong.push(`attention ${storage} ${JSON.stringify(each)}`);
    }
  }
  const uniform = await firstOf(random.uniform, UNIFORM.length);
  const normal = await firstOf(random.normal, NORMAL.length);
  const same = uniform.every((value, i) => value === UNIFORM[i]);
  const apart = Math.max(...normal.map((value, i) => Math.abs(value - NORMAL[i]!)));
  report('agreement.random', { uniform: same, normalApart: apart, agrees: same && apart < 1e-6 });
  if (!same || !(apart < 1e-6)) wrong.push(`random ${uniform.join()} ${normal.join()}`);
  if (wrong.length > 0) throw new Error(`numbers differ: ${wrong.join('; ')}`);
}

/** Norm of the difference over the norm, for the output and each gradient. */
async function attentionErrors(
  { heads, kvHeads, size, queries, keys, options }: AttentionCase,
  storage: FloatStorage,
): Promise<Record<string, number>> {
  const draw = (seed: number, length: number, count: number) =>
    cast(random.normal(random.key(seed), [BATCH, length, count, size]), storage);
  const inputs = [
    draw(1, queries, heads),
    draw(2, keys, kvHeads),
    draw(3, keys, kvHeads),
    draw(4, queries, heads),
  ] as const;
  const lengths = (most: number) => tf.tensor1d([most, Math.ceil(most / 2), 1], 'int32');
  const chosen: AttentionOptions = {
    ...(options === 'lengths' && { kvLengths: lengths(keys) }),
    ...(options === 'bothLengths' && { kvLengths: lengths(keys), qLengths: lengths(queries) }),
    ...(options === 'causal' && { causal: true }),
    ...(options === 'mask' && { mask: random.normal(random.key(5), [BATCH, 1, queries, keys]) }),
  };
  const both = jit((q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, dy: tf.Tensor) => {
    const f = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => scaledDotProductAttention(q, k, v, chosen);
    return [f(q, k, v), ...tf.grads(f)([q, k, v], dy)].map((value) => cast(value, 'float32'));
  });
  const apart = jit((a: tf.Tensor, b: tf.Tensor) => tf.div(tf.norm(tf.sub(a, b)), tf.norm(b)));
  const narrow = both(...inputs);
  const wide = both(
    ...(inputs.map((x) => cast(x, 'float32')) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]),
  );
  const errors: Record<string, number> = {};
  for (const [i, name] of ['output', 'dq', 'dk', 'dv'].entries()) {
    const error = apart(narrow[i]!, wide[i]!);
    errors[name] = (await error.data())[0]!;
    error.dispose();
  }
  tf.dispose([narrow, wide, [...inputs]]);
  return errors;
}

async function firstOf(draw: typeof random.normal, count: number): Promise<number[]> {
  const values = draw(random.key(7), [1000]);
  const all = await values.data();
  values.dispose();
  return Array.from(all.slice(0, count));
}
