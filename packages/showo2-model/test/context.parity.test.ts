import { expectClose, fixtureCases } from '@flow-grpo/test-support';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { encodeContext, encodePrompts, showo2Velocity } from '../src/index';
import { channelsFirst, channelsLast, loadCase, toleranceOf, toPositions, toTensor } from './case';

describe.each(fixtureCases('showo2-mixed'))('$name', ({ dir }) => {
  it('generates the last image of every sequence with everything before it cached', () => {
    const { json, config, params, read } = loadCase(dir);
    const given = read('inputs.safetensors');
    const positions = toPositions(given.modality_positions!);
    const latents = channelsLast(toTensor(given.latents!));
    const t = toTensor(given.t!);
    const outputs = read('outputs.safetensors');
    const expected = tf.unstack(channelsLast(toTensor(outputs.v_pred!)));
    const { unconditional } = jit(() => encodePrompts(params, config, [[]]))();
    let images = 0;
    positions.forEach((blocks, row) => {
      const real = blocks.filter(([, length]) => length > 0).length;
      images += real;
      const last = real - 1;
      // Idle slots come along: each writes its time over the first token.
      const before = blocks.flatMap((_, slot) => (slot === last ? [] : [slot]));
      const entries = (slots: number[]) =>
        tf.tensor1d(
          slots.map((slot) => row * blocks.length + slot),
          'int32',
        );
      const at = (slots: number[]) => ({
        latents: tf.gather(latents, entries(slots)),
        t: tf.gather(t, entries(slots)),
      });
      // One program where the backend compiles: each kernel by itself, for each of its shapes, takes longer to compile.
      const v = jit(() => {
        const prompt = encodeContext(params, config, {
          tokens: tf.slice(toTensor(given.text_tokens!), [row, 0], [1, blocks[last]![0]]),
          positions: [before.map((slot) => blocks[slot]!)],
          ...at(before),
        });
        const image = at([last]);
        const condition = { prompt, unconditional };
        const options = { guidanceScale: 0 };
        return showo2Velocity(params, config, image.latents, image.t, condition, options).velocity;
      })();
      const want = channelsFirst(tf.expandDims(expected[images - 1]!, 0)).dataSync();
      expectClose(
        channelsFirst(v).dataSync(),
        want,
        toleranceOf(json.float32_vs_float64, 'v_pred'),
        `row ${row}`,
      );
    });
    expect(images).toBe(expected.length);
  });
});
