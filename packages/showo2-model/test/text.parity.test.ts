import { stackLayers } from '@flow-grpo/nn';
import { expectClose, fixtureCases, numbers } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { embedSequence, textLogits } from '../src/forward';
import { SHOWO2_LAYER_BASES, sequenceLogits } from '../src/index';
import { MASKED } from '../src/sequence/mask';
import { chooseToken, uniformStream } from '../src/text/choose';
import { generateText } from '../src/text/generate';
import { understandingPrefix } from '../src/text/understand';
import { channelsLast, Expectations, loadCase, toPositions, toTensor } from './case';

describe.each(fixtureCases('showo2-text'))('$name', ({ dir }) => {
  const { json, config, params, read } = loadCase(dir);
  const data = read('data.safetensors');
  const expected = new Expectations(data, json.float32_vs_float64);
  const { eos, boi } = config.tokens;

  it('has the causal logits, with and without a mask', () => {
    const tokens = toTensor(data.causal_tokens!);
    const length = tokens.shape[1]!;
    expected.compare('causal_logits', textLogits(params, config, tokens));
    const mask = tf.tidy(() => {
      const range = tf.range(0, length, 1, 'int32');
      const seen = tf.lessEqual(tf.reshape(range, [1, length]), tf.reshape(range, [length, 1]));
      return tf.reshape(tf.where(seen, tf.zeros([length, length]), tf.fill([length, length], MASKED)), [
        1,
        1,
        length,
        length,
      ]);
    });
    expected.compare('causal_logits_explicit_mask', textLogits(params, config, tokens, mask));
  });

  const latents = channelsLast(toTensor(data.und_latents!));
  const understanding = {
    tokens: toTensor(data.und_tokens!),
    positions: toPositions(data.und_modality_positions!),
    latents,
    t: toTensor(data.und_t!),
    mask: toTensor(data.und_attention_mask!),
  };

  it('has the logits of a sequence with an image', () => {
    expected.compare('und_logits', sequenceLogits(params, config, understanding));
    const stacked = Object.values(SHOWO2_LAYER_BASES).reduce(stackLayers, params);
    expected.compare('und_logits', sequenceLogits(stacked, config, understanding));
  });

  const expectGreedy = async (
    prefix: Parameters<typeof generateText>[2],
    key: string,
    stop: number[],
    weights = params,
  ) => {
    const tokens = numbers(data[`${key}_generated`]!);
    const logits: number[] = [];
    const ids = await generateText(weights, config, prefix, {
      topK: 1,
      maxNewTokens: tokens.length,
      stop,
      onToken: (_, row) => logits.push(...row),
    });
    expect(ids).toEqual(tokens);
    expected.compare(`${key}_step_logits`, tf.tensor2d(logits, [ids.length, config.vocabSize]));
  };

  it('continues text greedily with cached keys as upstream does without', async () => {
    const prefix = { tokens: numbers(data.lm_prompt!) };
    await expectGreedy(prefix, 'lm', [eos, boi]);
    await expectGreedy(prefix, 'lm', [eos, boi], stackLayers(params, SHOWO2_LAYER_BASES.trunk));
  });

  it('continues a sequence with an image greedily', async () => {
    const { embeddings } = embedSequence(params, config, understanding);
    await expectGreedy({ embeddings, mask: understanding.mask }, 'mm', [eos, boi]);
  });

  it('answers about an image as the upstream script', async () => {
    const before = numbers(data.mmu_tokens_a!);
    const [, , ...question] = numbers(data.mmu_tokens_b!);
    const prefix = understandingPrefix(params, config, before, latents, question);
    expected.compare('mmu_input_embeds', prefix.embeddings);
    expectClose(prefix.mask.dataSync(), numbers(data.mmu_attention_mask!), 0, 'mmu_attention_mask');
    await expectGreedy(prefix, 'mmu', [eos]);
  });

  it('leaves no result of the case uncompared', () => {
    const results = /logits|embeds/;
    expect(expected.forgotten.filter((name) => results.test(name))).toEqual([]);
  });

  it('leaves no tensor behind', async () => {
    const before = tf.memory().numTensors;
    await generateText(params, config, { tokens: [1, 2, 3] }, { maxNewTokens: 3, stop: [] });
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('chooseToken', () => {
  const logits = Float32Array.from([Math.log(0.1), Math.log(0.5), Math.log(0.4)]);

  it('draws with the given probabilities', () => {
    const uniform = uniformStream(3);
    const counts = [0, 0, 0];
    for (let i = 0; i < 4000; i++) counts[chooseToken(logits, {}, uniform())]!++;
    [0.1, 0.5, 0.4].forEach((p, i) => {
      expect(Math.abs(counts[i]! / 4000 - p)).toBeLessThan(0.03);
    });
  });

  it('keeps to top-k and top-p, and to the best at temperature 0', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 0.999999, noNaN: true }), (u) => {
        expect(chooseToken(logits, { topK: 2 }, u)).not.toBe(0);
        expect(chooseToken(logits, { topP: 0.45 }, u)).toBe(1);
        expect(chooseToken(logits, { topP: 0.6 }, u)).not.toBe(0);
        expect(chooseToken(logits, { temperature: 0 }, u)).toBe(1);
      }),
    );
  });

  it('draws from the same tokens as a sort of the whole vocabulary', () => {
    const options = fc.record({
      temperature: fc.double({ min: 0.2, max: 3, noNaN: true }),
      topK: fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
      topP: fc.option(fc.double({ min: 0.01, max: 1, noNaN: true }), { nil: undefined }),
    });
    const row = fc.array(fc.integer({ min: -8, max: 8 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(row, options, fc.integer(), (values, { temperature, topK, topP }, seed) => {
        const all = Float32Array.from(values, (v) => v / 2);
        const weights = Array.from(all, (v) => Math.exp((v - Math.max(...all)) / temperature));
        const order = weights.map((_, i) => i).sort((a, b) => weights[b]! - weights[a]! || a - b);
        const kept = order.slice(0, topK);
        const total = kept.reduce((sum, i) => sum + weights[i]!, 0);
        let sum = 0;
        const allowed = kept.filter((i) => {
          const before = sum;
          sum += weights[i]! / total;
          return topP === undefined || before <= topP + 1e-12;
        });
        const uniform = uniformStream(seed);
        const drawn = new Set<number>();
        for (let i = 0; i < 200; i++)
          drawn.add(
            chooseToken(all, { temperature, ...(topK && { topK }), ...(topP && { topP }) }, uniform()),
          );
        for (const token of drawn) expect(allowed).toContain(token);
        // And what is likely does come.
        const share = allowed.reduce((most, i) => most + weights[i]!, 0);
        for (const i of allowed) if (weights[i]! / share > 0.2) expect([...drawn]).toContain(i);
      }),
    );
  });

  it('refuses options out of range by name', () => {
    expect(() => chooseToken(logits, { topP: 0 }, 0)).toThrow(/topP/);
    expect(() => chooseToken(logits, { topK: 0 }, 0)).toThrow(/topK/);
    expect(() => chooseToken(logits, { temperature: -1 }, 0)).toThrow(/temperature/);
  });
});
