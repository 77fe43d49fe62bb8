/** The weights and inputs of the wide model, which come from a hash: `wide.rule` in case.json. */
import type { ParameterSpec } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import type { TransformerConfig } from '../src/index';
import type { Call } from './calls';

interface Wide {
  readonly seed: number;
  readonly latent_sizes: readonly (readonly [number, number])[];
  readonly caption_lengths: readonly number[];
  readonly t: readonly number[];
}

/** u(name, 0), u(name, 1), … in [−0.5, 0.5). */
function uniform(name: string, seed: number, count: number): Float32Array {
  let hash = 2166136261;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 16777619);
  const start = (hash ^ seed) >>> 0;
  return Float32Array.from({ length: count }, (_, k) => {
    let z = (start + Math.imul(k + 1, 0x9e3779b9)) >>> 0;
    z ^= z >>> 16;
    z = Math.imul(z, 0x85ebca6b);
    z ^= z >>> 13;
    z = Math.imul(z, 0xc2b2ae35);
    z ^= z >>> 16;
    return (z >>> 8) / 2 ** 24 - 0.5;
  });
}

const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

export function wideTensors(
  { seed, latent_sizes: sizes, caption_lengths: lengths, t }: Wide,
  specs: Record<string, ParameterSpec>,
  { inChannels, captionDim }: TransformerConfig,
): { params: Record<string, tf.Tensor>; call: Call } {
  const weight = (name: string, shape: number[]) => {
    const u = uniform(name, seed, sizeOf(shape));
    const scale = 2 ** Math.round(Math.log2(Math.sqrt(12 / shape.at(-1)!)));
    const value = (x: number) => {
      if (name.endsWith('_pad_token')) return x;
      if (shape.length > 1) return x * scale;
      return name.endsWith('.weight') ? Math.fround(1 + x / 2) : x / 4;
    };
    return tf.tensor(u.map(value), shape);
  };
  const params = Object.fromEntries(
    Object.entries(specs).map(([name, { shape }]) => [name, weight(name, shape)]),
  );
  const input = (name: string, shape: number[]) =>
    tf.tensor(
      uniform(name, seed, sizeOf(shape)).map((x) => 4 * x),
      shape,
    );
  return {
    params,
    call: {
      images: sizes.map(([height, width], i) =>
        tf.transpose(input(`x.${i}`, [inChannels, height, width]), [1, 2, 0]),
      ) as tf.Tensor3D[],
      captions: lengths.map((length, i) => input(`cap.${i}`, [length, captionDim]) as tf.Tensor2D),
      t: tf.tensor1d([...t]),
    },
  };
}
