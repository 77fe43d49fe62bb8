/** What a denoising step computes, counted in its program: the savings leave work out, not only time. */
import '@flow-grpo/tfjs-backend-xla';
import { onCpu } from '@flow-grpo/test-support/on-cpu';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { timeEmbedding, timeToken } from '../src/head/time';
import {
  encodePrompts,
  forwardSequence,
  generationLayout,
  imageBlockLength,
  initShowo2Params,
  showo2Velocity,
} from '../src/index';
import { imageEmbeddings } from '../src/vision/embed';
import { config as tiny } from './tiny-model';
import { useXla } from './xla';

await useXla();

const config = { ...tiny, tokens: { ...tiny.tokens, bos: 0, eos: 1, boi: 2, eoi: 3, imagePad: 6, pad: 8 } };
const params = onCpu(() => initShowo2Params(config, 1));
const side = config.gridHeight * config.patchSize;
const x = tf.zeros([1, side, side, config.latentChannels]);
const t = tf.tensor1d([0.5]);
const condition = encodePrompts(params, config, [[9, 10, 11]], { head: true });

const product = (dims: number[]) => dims.reduce((a, b) => a * b, 1);
const shapeOf = (type: string) => type.split('x').slice(0, -1).map(Number);

/** Multiplications and additions of all matrix products in a program. */
function work(text: string): number {
  const products = text.matchAll(
    /dot_general .*contracting_dims = \[([\d, ]*)\] x .*: \(tensor<([^>]*)>, [^)]*\) -> tensor<([^>]*)>/g,
  );
  let total = 0;
  for (const [, contracted, left, result] of products) {
    const sizes = contracted!.split(',').map((axis) => shapeOf(left!)[Number(axis)]!);
    total += 2 * product(sizes) * product(shapeOf(result!));
  }
  return total;
}

type Inputs = [tf.Tensor, tf.Tensor];
const workOf = (fn: (latents: tf.Tensor, times: tf.Tensor) => tf.Tensor, inputs: Inputs = [x, t]) =>
  work(jit(fn).lower(...inputs).text);
const step = (guidanceScale: number) =>
  workOf(
    (latents, times) => showo2Velocity(params, config, latents, times, condition, { guidanceScale }).velocity,
  );

it('embeds image and time once for both branches of guidance', () => {
  const embedding = workOf((latents) => imageEmbeddings(params, config, latents));
  const time = workOf((_, times) => timeToken(params, config, timeEmbedding(params, config, times)));
  expect(embedding).toBeGreaterThan(0);
  expect(2 * step(0) - step(5)).toBe(embedding + time);
});

it('does not grow with text that is cached, but for the attention to it', () => {
  const long = encodePrompts(params, config, [Array.from({ length: 60 }, () => 9)], { head: true });
  const grown =
    workOf(
      (latents, times) => showo2Velocity(params, config, latents, times, long, { guidanceScale: 0 }).velocity,
    ) - step(0);
  const { trunk, head } = config;
  const perKey = 4 * imageBlockLength(config);
  const attention =
    perKey * (trunk.layers * trunk.heads * trunk.headDim + head.layers * head.heads * head.headDim);
  expect(grown).toBe((60 - 3) * attention);
});

it('is a part of what every token of the sequence costs', () => {
  const { conditional, unconditional } = generationLayout([[9, 10, 11]], {
    ...{ tokens: config.tokens, blockLength: imageBlockLength(config), maxTextLength: 60 },
  });
  const tokens = tf.tensor2d([...conditional.tokens, ...unconditional.tokens], undefined, 'int32');
  const positions = [...conditional.positions, ...unconditional.positions];
  const plain = workOf((latents, times) => {
    const twice = (y: tf.Tensor) => tf.concat([y, y], 0);
    const inputs = { tokens, positions, latents: twice(latents), t: twice(times) };
    return forwardSequence(params, config, inputs).velocity;
  });
  // Of 69 tokens five are the image's.
  expect(step(5)).toBeLessThan(0.2 * plain);
});
