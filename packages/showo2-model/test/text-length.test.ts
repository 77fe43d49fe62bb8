import { fixtureCases, maxAbs, maxAbsDiff } from '@flow-grpo/test-support';
import { useWasm } from '@flow-grpo/test-support/wasm';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { textLimit } from '../src/config/config';
import { parseShowo2Yaml } from '../src/config/yaml';
import {
  chooseTextLength,
  cutPromptsMessage,
  encodePrompts,
  parseShowo2Config,
  promptTokens,
  showo2Velocity,
} from '../src/index';
import { channelsLast, loadCase, toTensor } from './case';

await useWasm();

const grids = [
  // image tokens by side, upstream's max_seq_length, text tokens with and without the time token
  [27, 1024, 290, 291],
  [32, 1280, 251, 252],
  [64, 4352, 251, 252],
] as const;

describe('the limit of the text', () => {
  it.each(grids)(
    'at a grid of %s is that of upstream’s max_seq_length %s',
    (grid, length, withTime, without) => {
      const sizes = { hidden_size: 1536, image_latent_height: grid, image_latent_width: grid };
      for (const [add_time_embeds, limit] of [
        [true, withTime],
        [false, without],
      ] as const) {
        expect(textLimit(length, grid ** 2, add_time_embeds)).toBe(limit);
        expect(parseShowo2Config({ ...sizes, add_time_embeds }).maxTextLength).toBe(limit);
        const showo = { ...sizes, add_time_embeds };
        const preprocessing = { max_seq_length: length, num_t2i_image_tokens: grid ** 2 };
        const file = JSON.stringify({ model: { showo }, dataset: { preprocessing } });
        expect(parseShowo2Yaml(file).model.maxTextLength).toBe(limit);
      }
      expect(parseShowo2Config({ ...sizes, max_text_len: 7 }).maxTextLength).toBe(7);
    },
  );

  it('is refused where a YAML leaves no text', () => {
    const showo = { hidden_size: 1536, image_latent_height: 27, image_latent_width: 27 };
    const file = (max_seq_length: number) =>
      JSON.stringify({ model: { showo }, dataset: { preprocessing: { max_seq_length } } });
    expect(() => parseShowo2Yaml(file(734), 'a.yaml')).toThrow('a.yaml: max_seq_length 734 leaves no text');
    expect(parseShowo2Yaml(file(735)).model.maxTextLength).toBe(1);
  });

  it('keeps a prompt of 200 tokens whole at full size', () => {
    const config = parseShowo2Config({ hidden_size: 1536, image_latent_height: 27, image_latent_width: 27 });
    const ids = Array.from({ length: 300 }, (_, i) => i);
    const { tokens, lengths } = promptTokens(config, [ids.slice(0, 200), ids]);
    expect([...lengths.dataSync()]).toEqual([202, 292]);
    const [first, second] = tokens.arraySync() as number[][];
    expect(first!.slice(1, 202)).toEqual([...ids.slice(0, 200), config.tokens.boi]);
    expect(second!.slice(1)).toEqual([...ids.slice(0, 290), config.tokens.boi]);
  });
});

describe('the one length of a run', () => {
  const config = { maxTextLength: 290 };

  it.each([
    [[], 0, 0, 0],
    [[0, 0], 0, 0, 0],
    [[1], 16, 1, 0],
    [[3, 16, 9], 16, 16, 0],
    [[17], 32, 17, 0],
    [[280, 5], 288, 280, 0],
    [[289], 290, 289, 0],
    [[290, 291, 400], 290, 400, 2],
  ])('of prompts with %j tokens is %s', (counts, length, longest, cut) => {
    expect(chooseTextLength(config, counts)).toEqual({ length, longest, cut });
  });

  it('may have a lower limit, and no higher one than the model', () => {
    expect(chooseTextLength(config, [5, 40, 41], 40)).toEqual({ length: 40, longest: 41, cut: 1 });
    for (const limit of [291, -1, 1.5, Number.NaN]) {
      expect(() => chooseTextLength(config, [5], limit)).toThrow(RangeError);
    }
  });

  it('says what is cut, and nothing where nothing is', () => {
    expect(cutPromptsMessage({ length: 290, longest: 290, cut: 0 })).toBeUndefined();
    expect(cutPromptsMessage({ length: 290, longest: 400, cut: 1 })).toBe(
      'A prompt is cut at 290 text tokens; the longest has 400',
    );
    expect(cutPromptsMessage({ length: 16, longest: 99, cut: 3 })).toMatch(
      /^3 prompts are cut at 16 text tokens/,
    );
  });
});

describe.each(fixtureCases('showo2-tiny'))('prompts of $name', ({ dir }) => {
  const { config: read, params, read: file } = loadCase(dir);
  const config = { ...read, maxTextLength: 64 };
  const given = channelsLast(toTensor(file('inputs.safetensors').latents!));
  const x = tf.slice(given, [0, 0, 0, 0], [1, -1, -1, -1]);
  const ids = [[3, 5, 7, 9, 4], [6], []];
  const latents = tf.tile(x, [ids.length, 1, 1, 1]);
  const t = tf.tensor1d([0.2, 0.5, 0.9]);
  const at = (textLength?: number, head = false) => {
    const options = { head, ...(textLength !== undefined && { textLength }) };
    const condition = encodePrompts(params, config, ids, options);
    expect(condition.prompt.tokens.shape).toEqual([ids.length, (textLength ?? 5) + 2]);
    return showo2Velocity(params, config, latents, t, condition, { guidanceScale: 4 }).velocity.dataSync();
  };

  it.each([5, 6, 16, 33, 64])('have the same velocity when they are padded to %s', (textLength) => {
    const shortest = at();
    for (const head of [false, true]) {
      expect(maxAbsDiff(at(textLength, head), shortest)).toBeLessThan(2e-6 * maxAbs(shortest));
    }
  });

  it('are cut at the length that is asked for, as if they ended there', () => {
    const options = { textLength: 3 };
    const cut = encodePrompts(params, config, ids, options);
    const short = encodePrompts(
      params,
      config,
      ids.map((row) => row.slice(0, 3)),
      options,
    );
    expect(cut.prompt.tokens.arraySync()).toEqual(short.prompt.tokens.arraySync());
    expect([...cut.prompt.lengths.dataSync()]).toEqual([5, 3, 2]);
    expect(maxAbsDiff(cut.prompt.hidden.dataSync(), short.prompt.hidden.dataSync())).toBe(0);
  });

  it.each([65, -1, 2.5])('are not padded to %s', (textLength) => {
    expect(() => encodePrompts(params, config, ids, { textLength })).toThrow(
      `from 0 to the model's limit of 64, not ${textLength}`,
    );
  });
});
