/** Random weights of any size, made on the device and held as they will be used: nothing crosses the bus. */
import type { Params } from '@flow-grpo/nn';
import { cast, type FloatStorage, jit, random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';

/** Normal weights: mean and standard deviation. */
interface Spread {
  readonly mean: number;
  readonly deviation: number;
}

/**
 * Weights that keep activations of order one through any number of layers, none of them constant: timings depend
 * on the values, since zeros take less power.
 */
export function spreadOf(name: string, shape: readonly number[]): Spread {
  if (
    /gamma$|norm\d?\.weight$|norm_(final|out|[qk])\.weight$|cap_embedder\.0\.weight$|fusion_proj\.0\.weight$/.test(
      name,
    )
  )
    return { mean: 1, deviation: 0.1 };
  if (shape.length < 2) return { mean: 0, deviation: 0.05 };
  if (/embed/.test(name)) return { mean: 0, deviation: 0.1 };
  const inputs = shape.slice(1).reduce((product, size) => product * size, 1);
  return { mean: 0, deviation: 0.7 / Math.sqrt(inputs) };
}

/**
 * One tensor a name. Programs are compiled side by side, one a shape; element i of a tensor is a function of the
 * seed, the tensor's place among the names, and i.
 */
export async function randomParams(
  shapes: Readonly<Record<string, readonly number[]>>,
  storage: FloatStorage,
  seed: number,
): Promise<Params> {
  const root = random.key(seed);
  const makers = new Map<string, ReturnType<typeof maker>>();
  const inputs = (place: number, { mean, deviation }: Spread) =>
    [tf.scalar(place, 'int32'), tf.scalar(mean), tf.scalar(deviation)] as const;
  for (const shape of Object.values(shapes)) {
    if (!makers.has(`${shape}`)) makers.set(`${shape}`, maker(shape, storage));
  }
  const sample = inputs(0, { mean: 0, deviation: 1 });
  await Promise.all([...makers.values()].map((make) => make.compile(root, ...sample)));
  tf.dispose([...sample]);
  const entries = Object.entries(shapes).map(([name, shape], place) => {
    const given = inputs(place, spreadOf(name, shape));
    const value = makers.get(`${shape}`)!(root, ...given);
    tf.dispose([...given]);
    return [name, value] as const;
  });
  root.dispose();
  return Object.fromEntries(entries);
}

const maker = (shape: readonly number[], storage: FloatStorage) =>
  jit(
    (key: tf.Tensor, place: tf.Tensor, mean: tf.Tensor, deviation: tf.Tensor): tf.Tensor =>
      cast(tf.add(tf.mul(random.normal(random.foldIn(key, place), shape), deviation), mean), storage),
    { name: 'randomParams' },
  );
