import { expectClose } from '@flow-grpo/test-support';
import { jit, mesh, random, scaledDotProductAttention, scan, shard } from '@flow-grpo/tfjs-jit';
import { ATTENTION, ATTENTION_GRAD } from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { configure } from '../../index';
import { Module, type Value } from '../../stablehlo';
import { attentionLowerings } from './lowerings';
import { batchSplit } from './per-device';

beforeAll(async () => {
  configure({ devices: 4 });
  await tf.setBackend('xla');
});

const draw = (seed: number, shape: number[]) => random.normal(random.key(seed), shape);
const [Q, KV, LENGTHS] = [
  [4, 5, 4, 8],
  [4, 6, 2, 8],
  [1, 6, 3, 4],
];

describe('attention that XLA cannot partition', () => {
  it('splits the batch over the first axes of the mesh, as many as divide it', () => {
    const m = mesh({ data: 2, model: 2 });
    expect(batchSplit(m, 4)).toEqual({ mesh: m, axes: ['data', 'model'] });
    expect(batchSplit(m, 6)).toEqual({ mesh: m, axes: ['data'] });
    expect(batchSplit(m, 3)).toBeUndefined();
    expect(batchSplit(undefined, 4)).toBeUndefined();
    expect(batchSplit(mesh({ data: 1, model: 2 }), 4)).toMatchObject({ axes: ['model'] });
  });

  it.each([[{ data: 2 }], [{ data: 4 }], [{ data: 2, model: 2 }]])(
    'gives on %j the numbers of one device, forward and backward, inside a scan too',
    (axes) => {
      const m = mesh(axes as unknown as Record<string, number>);
      const inputs = [draw(1, Q), draw(2, KV), draw(3, KV)];
      const kvLengths = tf.tensor1d(LENGTHS, 'int32');
      const attrs = { scale: 0.3, causal: false, fused: false, split: batchSplit(m, 4) };
      const run = (kernel: string, all: tf.NamedTensorMap) =>
        tf.engine().runKernel(kernel, all, attrs as unknown as tf.NamedAttrMap) as tf.Tensor[];
      /** The kernels as the gradient of attention calls them, on every step of a loop. */
      const byParts = jit((q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, dy: tf.Tensor, lengths: tf.Tensor) => {
        const operands = { q, k, v, kvLengths: lengths };
        const [, results] = scan(
          (count: tf.Tensor): [tf.Tensor, tf.Tensor[]] => {
            const [output, saved] = run(ATTENTION, operands) as [tf.Tensor, tf.Tensor];
            return [tf.add(count, 1), [output, ...run(ATTENTION_GRAD, { ...operands, saved, output, dy })]];
          },
          tf.scalar(0),
          null,
          { length: 2 },
        );
        return results.map((result) => tf.squeeze(tf.slice(result, 1, 1), [0]));
      });
      const dy = draw(4, Q);
      const whole = (...xs: tf.Tensor[]) =>
        scaledDotProductAttention(xs[0]!, xs[1]!, xs[2]!, { kvLengths, scale: 0.3 });
      const expected = [whole(...inputs), ...tf.grads(whole)(inputs, dy)];
      const on = (x: tf.Tensor) => shard(x, m, ['data']);
      const [q, k, v] = inputs.map(on) as [tf.Tensor, tf.Tensor, tf.Tensor];
      byParts(q, k, v, on(dy), on(kvLengths)).forEach((actual, i) => {
        expectClose(actual.dataSync(), expected[i]!.dataSync(), 2e-5, `result ${i}`);
      });
    },
  );

  it('hands cuDNN one device’s part', () => {
    const m = mesh({ data: 4 });
    const module = new Module('attention');
    const bf16 = (shape: number[]) => ({ shape, dtype: 'bf16' as const });
    const { block, args } = module.func('main', [bf16([16, 730, 32, 64]), bf16([16, 858, 8, 64])]);
    const [q, k] = args as [Value, Value];
    const { lower } = attentionLowerings.find(({ kernelName }) => kernelName === ATTENTION)!;
    const options = { scale: 0.125, causal: true, fused: true, split: batchSplit(m, 16) };
    module.finish('main', lower(block, { q, k, v: k }, options) as Value[]);
    const text = module.toString();
    expect(text).toContain('sdy.manual_computation');
    expect(text).toContain('manual_axes{"data"}');
    expect(text).toContain('\\22dimensions\\22:[\\224\\22,\\2232\\22,\\22730\\22,\\22858\\22]');
    expect(text).toContain(
      '(tensor<4x730x32x64xbf16>, tensor<4x858x8x64xbf16>, tensor<4x858x8x64xbf16>) -> (tensor<4x32x730x64xbf16>, tensor<4x32x730xf32>, tensor<0xui8>)',
    );
    expect(module.flops('main')).toBe(4 * 16 * 32 * 730 * 858 * 64);
  });
});
