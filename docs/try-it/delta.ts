/** What training changed, in a byte per weight: small enough for a page. */
import { encodeSafetensors, type PlainTensor, type StoredTensor } from './safetensors';

type Weights = Readonly<Record<string, StoredTensor>>;

const SCALE = '.scale';

/**
 * The file of the differences of two models' weights, of those that differ: int8 with one scale for each tensor.
 *
 * @throws when the two are not of one shape, or nothing differs
 */
export function encodeDelta(before: Weights, after: Weights): Uint8Array {
  const tensors: Record<string, PlainTensor> = {};
  for (const [name, { shape, values }] of Object.entries(after)) {
    const old = before[name];
    if (old?.values.length !== values.length) throw new Error(`${name} is not a weight of the start model`);
    const delta = values.map((value, i) => value - old.values[i]!);
    const largest = delta.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (largest === 0) continue;
    const scale = largest / 127;
    tensors[name] = {
      dtype: 'I8',
      shape,
      values: Int8Array.from(delta, (value) => Math.round(value / scale)),
    };
    tensors[name + SCALE] = { dtype: 'F32', shape: [1], values: Float32Array.of(scale) };
  }
  if (Object.keys(tensors).length === 0) throw new Error('the two models are the same');
  return encodeSafetensors(tensors);
}

/** The trained weights alone. */
export function applyDelta(before: Weights, delta: Weights): Record<string, StoredTensor> {
  return Object.fromEntries(
    Object.entries(delta).flatMap(([name, { shape, values }]) => {
      const scale = delta[name + SCALE]?.values[0];
      if (scale === undefined) return [];
      const old = before[name]!.values;
      return [[name, { shape, values: values.map((value, i) => old[i]! + scale * value) }]];
    }),
  );
}
