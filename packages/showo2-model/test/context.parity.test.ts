import { expectClose, fixtureCases, numbers } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { encodeContext, encodePrompts, velocity } from '../src/index';
import { channelsFirst, channelsLast, loadCase, toPositions, toTensor } from './case';

describe.each(fixtureCases('showo2-mixed'))('$name', ({ dir }) => {
  it('generates an image after other images with everything before it cached', () => {
    const { config, params, read } = loadCase(dir);
    const given = read('inputs.safetensors');
    const positions = toPositions(given.modality_positions!);
    const latents = channelsLast(toTensor(given.latents!));
    const t = toTensor(given.t!);
    const expected = tf.unstack(channelsLast(toTensor(read('outputs.safetensors').v_pred!)));
    const slots = positions[0]!.length;
    let checked = 0;
    let image = 0;
    positions.forEach((blocks, row) => {
      const real = blocks.filter(([, length]) => length > 0).length;
      const last = real - 1;
      // An idle slot writes its time over the first token, which a prefix of the real images does not do.
      if (real > 1 && real === slots) {
        const tokens = tf.slice(toTensor(given.text_tokens!), [row, 0], [1, blocks[last]![0]]);
        const entry = row * slots;
        const rows = (x: tf.Tensor, first: number, count: number) =>
          tf.slice(x, [first, ...x.shape.slice(1).map(() => 0)], [count, ...x.shape.slice(1)]);
        const prompt = encodeContext(params, config, {
          tokens,
          positions: [blocks.slice(0, last)],
          latents: rows(latents, entry, last),
          t: rows(t, entry, last),
        });
        const { unconditional } = encodePrompts(params, config, [[]]);
        const { velocity: v } = velocity(
          params,
          config,
          rows(latents, entry + last, 1),
          rows(t, entry + last, 1),
          { prompt, unconditional },
          { guidanceScale: 0 },
        );
        const want = channelsFirst(tf.expandDims(expected[image + last]!, 0)).dataSync();
        expectClose(channelsFirst(v).dataSync(), want, 5e-5, `row ${row}`);
        checked++;
      }
      image += real;
    });
    expect(checked).toBeGreaterThan(0);
    expect(numbers(read('outputs.safetensors').v_pred!).length).toBe(image * expected[0]!.size);
  });
});
