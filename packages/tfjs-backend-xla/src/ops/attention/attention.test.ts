import '../../index';
import { expectClose } from '@flow-grpo/test-support';
import { cast, jit, random, scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import { ATTENTION, ATTENTION_GRAD, ATTENTION_INFERENCE } from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { Module, type Value } from '../../stablehlo';
import { attentionLowerings } from './lowerings';

beforeAll(async () => {
  await tf.setBackend('xla');
});

interface Case {
  name: string;
  causal?: boolean;
  mask?: number[];
  kvLengths?: number[];
  qLengths?: number[];
  heads?: [number, number];
}

const [B, T, S, D] = [2, 5, 7, 4];
const cases: Case[] = [
  { name: 'plain' },
  { name: 'grouped heads', heads: [6, 2] },
  { name: 'causal', causal: true, heads: [4, 2] },
  { name: 'lengths', kvLengths: [3, 7], heads: [4, 1] },
  { name: 'causal with lengths of both', causal: true, kvLengths: [4, 6], qLengths: [2, 5], heads: [4, 2] },
  { name: 'full mask', mask: [B, 4, T, S], heads: [4, 2] },
  { name: 'mask over keys', mask: [B, 1, 1, S] },
  { name: 'mask of low rank', mask: [T, S], heads: [2, 2] },
];

/** Output and gradients of q, k, v and the mask, on the backend of now. */
function run({ causal, mask, kvLengths, qLengths, heads = [2, 2] }: Case, compiled: boolean): number[][] {
  const draw = (seed: number, shape: number[]) => random.normal(random.key(seed), shape);
  const inputs = [draw(1, [B, T, heads[0], D]), draw(2, [B, S, heads[1], D]), draw(3, [B, S, heads[1], D])];
  if (mask) inputs.push(draw(4, mask));
  const dy = draw(5, [B, T, heads[0], D]);
  const f = (...xs: tf.Tensor[]) =>
    scaledDotProductAttention(xs[0]!, xs[1]!, xs[2]!, {
      mask: xs[3],
      causal,
      kvLengths: kvLengths && tf.tensor1d(kvLengths, 'int32'),
      qLengths: qLengths && tf.tensor1d(qLengths, 'int32'),
    });
  const all = (...xs: tf.Tensor[]) => [f(...xs), ...tf.grads(f)(xs, dy)];
  const results = compiled ? jit(all)(...inputs) : all(...inputs);
  return results.map((x) => [...x.dataSync()]);
}

describe('scaledDotProductAttention', () => {
  it.each(cases)('$name: XLA agrees with the decomposed path of other backends', async (each) => {
    const compiled = run(each, true);
    const eager = run(each, false);
    await tf.setBackend('cpu');
    const expected = run(each, true);
    await tf.setBackend('xla');
    expect(compiled).toHaveLength(expected.length);
    expected.forEach((values, i) => {
      expectClose(compiled[i]!, values, 2e-5, `compiled ${i}`);
      expectClose(eager[i]!, values, 2e-5, `eager ${i}`);
    });
  });

  it('keeps bfloat16, with a softmax in float32', () => {
    const q = cast(random.normal(random.key(1), [1, 8, 2, 16]), 'bfloat16');
    const exact = scaledDotProductAttention(cast(q, 'float32'), cast(q, 'float32'), cast(q, 'float32'));
    const narrow = scaledDotProductAttention(q, q, q);
    expectClose(narrow.dataSync(), exact.dataSync(), 0.02);
  });

  it('names what does not fit', () => {
    const x = tf.zeros([1, 2, 3, 4]);
    expect(() => scaledDotProductAttention(x, tf.zeros([1, 2, 2, 4]), tf.zeros([1, 2, 2, 4]))).toThrow(
      /3 query heads/,
    );
    expect(() => scaledDotProductAttention(x, x, x, { mask: tf.zeros([5, 2]) })).toThrow(
      /does not broadcast/,
    );
    expect(() => scaledDotProductAttention(x, x, x, { kvLengths: tf.tensor1d([1]) })).toThrow(/int32 \[1\]/);
  });
});

describe('the cuDNN custom calls', () => {
  const lowered = (kernel: string, extra: Record<string, number[]>, causal: boolean, more: object = {}) => {
    const module = new Module('attention');
    const shapes: Record<string, number[]> = {
      q: [16, 730, 32, 64],
      k: [16, 858, 8, 64],
      v: [16, 858, 8, 64],
    };
    const types = Object.entries({ ...shapes, ...extra }).map(([name, shape]) => {
      const dtype = name.endsWith('Lengths') ? 'i32' : name === 'saved' ? 'f32' : 'bf16';
      return [name, { shape, dtype }] as const;
    });
    const { block, args } = module.func(
      'main',
      types.map(([, type]) => type),
    );
    const inputs = Object.fromEntries(types.map(([name], i) => [name, args[i]!]));
    const { lower } = attentionLowerings.find(({ kernelName }) => kernelName === kernel)!;
    const out = lower(block, inputs, { scale: 0.125, causal, fused: true, ...more });
    module.finish('main', (Array.isArray(out) ? out : [out]) as Value[]);
    return { text: module.toString(), flops: module.flops('main') };
  };

  it('have the operands, results and layouts that XLA lowers JAX attention to', () => {
    const { text: forward, flops } = lowered(ATTENTION, { kvLengths: [16] }, false);
    expect(flops).toBe(4 * 16 * 32 * 730 * 858 * 64);
    expect(forward).toContain('call_target_name = "__cudnn$fmhaSoftmax"');
    expect(forward).toContain('\\22mask_type\\22:\\22PADDING\\22');
    expect(forward).toContain('\\22dimensions\\22:[\\2216\\22,\\2232\\22,\\22730\\22,\\22858\\22]');
    expect(forward).toMatch(
      /operand_layouts = \[(dense<\[3, 2, 1, 0\]> : tensor<4xindex>, ){3}dense<(\[0\]|0)> : tensor<1xindex>, dense<(\[0\]|0)> : tensor<1xindex>\]/,
    );
    expect(forward).toMatch(/result_layouts = \[dense<\[3, 1, 2, 0\]> : tensor<4xindex>, dense<\[2, 1, 0\]>/);
    expect(forward).toContain(
      ': (tensor<16x730x32x64xbf16>, tensor<16x858x8x64xbf16>, tensor<16x858x8x64xbf16>, tensor<16xi32>, tensor<16xi32>) -> (tensor<16x32x730x64xbf16>, tensor<16x32x730xf32>, tensor<0xui8>)',
    );
    const { text: backward } = lowered(
      ATTENTION_GRAD,
      { kvLengths: [16], saved: [16, 32, 730], dy: [16, 730, 32, 64], output: [16, 730, 32, 64] },
      false,
    );
    expect(backward).toContain('call_target_name = "__cudnn$fmhaSoftmaxBackward"');
    expect(backward).toContain(
      ': (tensor<16x730x32x64xbf16>, tensor<16x858x8x64xbf16>, tensor<16x858x8x64xbf16>, tensor<16x32x730xf32>, tensor<16x730x32x64xbf16>, tensor<16x730x32x64xbf16>, tensor<16xi32>, tensor<16xi32>) -> (tensor<16x32x730x64xbf16>, tensor<16x8x858x64xbf16>, tensor<16x8x858x64xbf16>, tensor<0xui8>)',
    );
    expect(lowered(ATTENTION_INFERENCE, {}, true).text).toContain('\\22mask_type\\22:\\22CAUSAL\\22');
  });

  it('ask for gradients in a fixed order only where bits must repeat', () => {
    const given = { saved: [16, 32, 730], dy: [16, 730, 32, 64], output: [16, 730, 32, 64] };
    const asked = '\\22force_deterministic\\22:true';
    expect(lowered(ATTENTION_GRAD, given, false, { deterministic: true }).text).toContain(asked);
    expect(lowered(ATTENTION_GRAD, given, false).text).not.toContain('force_deterministic');
  });
});
