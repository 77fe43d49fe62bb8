/** Layers that several models share, by their definitions. */

import { expectClose, maxAbs } from '@flow-grpo/test-support';
import { scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  applyRotary,
  applyRotaryPairs,
  conv2d,
  downsample2d,
  groupNorm,
  imagesOfPatchRows,
  layerNorm,
  type Params,
  patchRows,
  qwenLayer,
  repeatRows,
  rotaryFrequencies,
  rotaryTables,
  upsample2d,
} from './index';
import { mapTiles, tileSizes } from './tiles';

const draw = (seed: number, shape: number[]) => tf.randomNormal(shape, 0, 1, 'float32', seed);

describe('applyRotaryPairs', () => {
  it('multiplies neighbouring numbers, as complex ones, by a unit', () => {
    const x = draw(1, [2, 3, 2, 4]);
    const tables = rotaryTables(
      tf.tensor2d([
        [0, 1, 2],
        [5, 3, 1],
      ]),
      rotaryFrequencies(4, 100),
    );
    const [cos, sin] = [tables.cos.dataSync(), tables.sin.dataSync()];
    const values = x.dataSync();
    const expected = Array.from(values, (_, at) => {
      const pair = Math.floor((at % 4) / 2);
      const token = Math.floor(at / 8);
      const [re, im] = [values[at - (at % 2)]!, values[at - (at % 2) + 1]!];
      const [c, s] = [cos[2 * token + pair]!, sin[2 * token + pair]!];
      return at % 2 === 0 ? re * c - im * s : re * s + im * c;
    });
    expectClose(applyRotaryPairs(x, tables).dataSync(), expected, 1e-6);
  });

  it('is the rotate-half layout with the numbers in another order', () => {
    const x = draw(2, [1, 4, 1, 6]);
    const order = tf.tensor1d([0, 2, 4, 1, 3, 5], 'int32');
    const tables = rotaryTables(tf.range(0, 4), rotaryFrequencies(6, 10_000));
    const pairs = tf.gather(applyRotaryPairs(x, tables), order, 3);
    expectClose(pairs.dataSync(), applyRotary(tf.gather(x, order, 3), tables).dataSync(), 1e-6);
  });
});

describe('norms', () => {
  it('normalises groups of channels over space', () => {
    const x = tf.add(tf.mul(draw(3, [2, 4, 5, 6]), 3), 2);
    const params: Params = {
      'n.weight': tf.tensor1d([1, 2, 3, 4, 5, 6]),
      'n.bias': tf.tensor1d([0, 1, 0, 1, 0, 1]),
    };
    const values = x.dataSync();
    const y = groupNorm(params, 'n', x, 3, 1e-6).dataSync();
    for (const item of [0, 1]) {
      for (const group of [0, 1, 2]) {
        const index = Array.from(
          { length: 40 },
          (_, i) => item * 120 + Math.floor(i / 2) * 6 + 2 * group + (i % 2),
        );
        const mean = index.reduce((sum, at) => sum + values[at]!, 0) / 40;
        const variance = index.reduce((sum, at) => sum + (values[at]! - mean) ** 2, 0) / 40;
        for (const at of index) {
          const channel = at % 6;
          const expected =
            ((values[at]! - mean) / Math.sqrt(variance + 1e-6)) * (channel + 1) + (channel % 2);
          expect(Math.abs(y[at]! - expected)).toBeLessThan(1e-4);
        }
      }
    }
  });

  it('has a layer norm without gain and shift', () => {
    const x = draw(4, [3, 8]);
    const plain = layerNorm(x, undefined, undefined, 1e-6).dataSync();
    expectClose(plain, layerNorm(x, tf.ones([8]), tf.zeros([8]), 1e-6).dataSync(), 0);
  });
});

describe('patches', () => {
  it('are (row, column, channel), and become the image again', () => {
    const image = draw(5, [2, 4, 6, 3]);
    const rows = patchRows(image, 2);
    expect(rows.shape).toEqual([12, 12]);
    const second = tf.slice(image, [0, 0, 2, 0], [1, 2, 2, -1]);
    expect(tf.slice(rows, [1, 0], [1, -1]).dataSync()).toEqual(second.dataSync());
    expect(imagesOfPatchRows(rows, 2, [2, 4, 6, 3]).dataSync()).toEqual(image.dataSync());
  });
});

describe('convolutions of images', () => {
  const params: Params = { 'c.weight': draw(6, [3, 2, 3, 3]), 'c.bias': draw(7, [3]) };
  const x = draw(8, [1, 6, 4, 2]) as tf.Tensor4D;

  it('halves with zeros at the right and the bottom: every second place of the whole, one on', () => {
    const whole = conv2d(params, 'c', x);
    const every = tf.stridedSlice(whole, [0, 1, 1, 0], [1, 6, 4, 3], [1, 2, 2, 1]);
    expectClose(downsample2d(params, 'c', x).dataSync(), every.dataSync(), 1e-5);
  });

  it('enlarges to the nearest neighbour', () => {
    expect(upsample2d(x).dataSync()).toEqual(tf.image.resizeNearestNeighbor(x, [12, 8]).dataSync());
  });
});

describe('tiles', () => {
  it('of work on each pixel alone add up to the whole', () => {
    const x = draw(9, [1, 10, 7, 2]) as tf.Tensor4D;
    expectClose(mapTiles(x, 4, 2, 2, (part) => upsample2d(part)).dataSync(), upsample2d(x).dataSync(), 1e-6);
  });

  it('have sides that fit', () => {
    expect(() => tileSizes({ tile: 20, overlap: 8 }, 8)).toThrow(/tile \(20\).*multiples of 8/);
    expect(() => tileSizes({ tile: 16, overlap: 16 }, 8)).toThrow(/overlap/);
  });
});

it('repeats one row, and no other number of rows', () => {
  const one = draw(10, [1, 2, 3]);
  expect(repeatRows(one, 3).shape).toEqual([3, 2, 3]);
  expect(repeatRows(one, 1)).toBe(one);
  expect(() => repeatRows(tf.zeros([2, 3]), 4)).toThrow(/2 rows cannot serve 4/);
});

describe('qwenLayer', () => {
  const width = 8;
  const names = ['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((name) => `self_attn.${name}`);
  const params: Params = {
    ...Object.fromEntries(names.map((name, i) => [`${name}.weight`, draw(20 + i, [8, width])])),
    'mlp.gate_proj.weight': draw(30, [12, width]),
    'mlp.up_proj.weight': draw(31, [12, width]),
    'mlp.down_proj.weight': draw(32, [width, 12]),
    'input_layernorm.weight': tf.ones([width]),
    'post_attention_layernorm.weight': tf.ones([width]),
  };
  const norms: Params = {
    'self_attn.q_norm.weight': draw(40, [4]),
    'self_attn.k_norm.weight': draw(41, [4]),
  };
  const rotary = rotaryTables(tf.range(0, 3), rotaryFrequencies(4, 10_000));
  const run = (p: Params, x: tf.Tensor) => {
    const seen: string[] = [];
    const attend = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) =>
      scaledDotProductAttention(q, k, v, { causal: true });
    const sizes = { headDim: 4, rmsNormEps: 1e-6 };
    const y = qwenLayer(p, '', sizes, x, rotary, attend, (name) => seen.push(name));
    return { y: y.dataSync(), seen };
  };

  it('norms queries and keys where there are norms, so that their length does not count', () => {
    const x = draw(50, [1, 3, width]);
    const longer = { ...params, 'self_attn.q_proj.weight': tf.mul(params['self_attn.q_proj.weight']!, 3) };
    const [plain, normed] = [run(params, x), run({ ...params, ...norms }, x)];
    expect(normed.seen).toContain('self_attn.q_norm');
    expect(plain.seen).not.toContain('self_attn.q_norm');
    expectClose(run({ ...longer, ...norms }, x).y, normed.y, 1e-4);
    const change = Array.from(run(longer, x).y, (value, i) => value - plain.y[i]!);
    expect(maxAbs(change)).toBeGreaterThan(0.1);
  });

  it('lets no token see a later one', () => {
    const x = draw(51, [1, 3, width]);
    const other = tf.concat([tf.slice(x, [0, 0, 0], [1, 2, -1]), draw(52, [1, 1, width])], 1);
    const first = (values: Float32Array | Int32Array | Uint8Array) => values.slice(0, 2 * width);
    expectClose(first(run(params, other).y), first(run(params, x).y), 1e-6);
  });
});
