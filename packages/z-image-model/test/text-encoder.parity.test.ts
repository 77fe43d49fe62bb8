import { loadBytePairTokenizer } from '@flow-grpo/checkpoint-io';
import { fixtureCases, numbers, readJson } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { encodeTokens, promptIds, textEncoderSpecs } from '../src/index';
import { stackTextLayers } from '../src/stacks';
import { TEXT_LAYERS } from '../src/text-encoder';
import { chatText, idBatch } from '../src/text-encoder/chat';
import { parseTextEncoderConfig } from '../src/text-encoder/config';
import { textRotary } from '../src/text-encoder/encode';
import { items } from './calls';
import { type CaseJson, Expectations, readCase, toTensor } from './case';

interface TextJson extends CaseJson {
  tokenizer: string;
}
interface Tokens {
  pad_id: number;
  cut_length: number;
  rows: {
    prompt: string;
    text: string;
    ids: number[];
    plain_ids: number[];
    cut_ids: number[];
    cut_mask: number[];
  }[];
}

describe.each(fixtureCases('z-image-text'))('$name', ({ dir }) => {
  const { json, read, params: weights, at } = readCase<TextJson>(dir);
  const config = parseTextEncoderConfig(json.config, `${dir}/case.json`);
  const params = weights();
  const tokens = readJson<Tokens>(dir, 'tokens.json');
  const inputs = read('inputs.safetensors');
  const ids = toTensor(inputs.input_ids!);
  const mask = numbers(inputs.attention_mask!);
  const [batch, length] = ids.shape as [number, number];
  const lengths = Array.from({ length: batch }, (_, i) =>
    mask.slice(i * length, (i + 1) * length).reduce((sum, x) => sum + x, 0),
  );
  const outputs = new Expectations(read('outputs.safetensors'), json.tolerances, 'outputs');

  it('has the parameters of the checkpoint', () => {
    const shapes = (record: Record<string, { shape: number[] }>) =>
      Object.fromEntries(Object.entries(record).map(([name, { shape }]) => [name, shape]));
    expect(shapes(textEncoderSpecs(config))).toEqual(shapes(params));
  });

  it('lays prompts out and cuts them as the pipeline', async () => {
    const tokenizer = await loadBytePairTokenizer(at(json.tokenizer));
    for (const { prompt, text, ids: whole, plain_ids, cut_ids, cut_mask } of tokens.rows) {
      expect(chatText(prompt)).toBe(text);
      expect(promptIds(tokenizer, prompt)).toEqual(whole);
      expect(tokenizer.encode(prompt)).toEqual(plain_ids);
      const cut = promptIds(tokenizer, prompt, tokens.cut_length);
      expect(cut).toEqual(cut_ids.filter((_, i) => cut_mask[i] === 1));
      expect(new Set(cut_ids.slice(cut.length))).toEqual(
        new Set(cut.length < cut_ids.length ? [tokens.pad_id] : []),
      );
    }
    expect(tokens.rows.map(({ ids: own }) => own.length)).toEqual(lengths);
  });

  it('reproduces every intermediate tensor', () => {
    const expected = new Expectations(read('intermediates.safetensors'), json.tolerances, 'intermediates');
    const last = `layer_${parseTextEncoderConfig(json.config).layers - 1}`;
    if (expected.has(last)) expected.values(last); // what nothing depends on is not computed
    const seen = (name: string, value: tf.Tensor) => {
      const key = name.replace(/^layers\.(\d+)/, 'layer_$1').replace('self_attn.', '');
      if (!expected.has(key)) return;
      const [rows, columns] = expected.shapeOf(key) as [number, number];
      const part = tf.slice(value, 0, rows);
      expected.compareRows(
        key,
        part,
        lengths.slice(0, rows).map((each) => Math.min(each, columns)),
      );
    };
    encodeTokens(params, config, ids, seen);
    expect(expected.forgotten).toEqual([]);
  });

  const given = items(read('outputs.safetensors'), 'embeds');
  it.each([
    ['one by one', params],
    ['stacked', stackTextLayers(weights(), config)],
  ])('returns the states of the pipeline, layers %s', (_, arranged) => {
    const states = encodeTokens(arranged, config, ids);
    given.forEach((_each, i) => {
      const own = tf.reshape(tf.slice(states, [i, 0, 0], [1, lengths[i]!, -1]), [lengths[i]!, -1]);
      outputs.compare(`embeds.${i}`, own);
    });
  });

  it('returns the same without padding, and without what is not used', () => {
    const isUsed = (name: string) =>
      !name.startsWith(`${TEXT_LAYERS}${config.layers - 1}.`) && name !== 'norm.weight';
    const used = Object.fromEntries(Object.entries(params).filter(([name]) => isUsed(name)));
    tokens.rows.forEach(({ ids: own }, i) => {
      const alone = encodeTokens(used, config, idBatch([own]).ids);
      outputs.compare(`embeds.${i}`, tf.squeeze(alone, [0]));
    });
  });

  it('turns by the same angles', () => {
    const { cos, sin } = textRotary(config, length);
    for (const [name, table] of [
      ['rope_cos', cos],
      ['rope_sin', sin],
    ] as const) {
      const half = tf.reshape(table, [length, -1]);
      outputs.compare(name, tf.concat([half, half], 1));
    }
  });

  it('leaves no output of the case uncompared', () => {
    expect(outputs.forgotten).toEqual([]);
  });
});
