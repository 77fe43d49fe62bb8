import { fileURLToPath } from 'node:url';
import { fixtureCases, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { QWEN2_5_TOKENS, QWEN2_5_VOCABULARY } from '../src/config/schema';
import { generationLayout, promptTokens, qwenTokenizer, type TokenIds, wordTokenizer } from '../src/index';
import { loadTokenizer } from '../src/pipeline/load';
import { mixedModalLayout } from '../src/sequence/layout';
import { type ModalityPositions, omniAttentionAllowed, omniAttentionMask } from '../src/sequence/mask';
import { config as tiny } from './tiny-model';

interface Ids {
  bos_id: number;
  eos_id: number;
  boi_id: number;
  eoi_id: number;
  img_pad_id: number;
  pad_id: number;
}
const tokenIds = (ids: Ids): TokenIds => ({
  bos: ids.bos_id,
  eos: ids.eos_id,
  boi: ids.boi_id,
  eoi: ids.eoi_id,
  imagePad: ids.img_pad_id,
  pad: ids.pad_id,
  bov: -1,
  eov: -1,
  videoPad: -1,
});

const BASE = (
  'endoftext im_start im_end object_ref_start object_ref_end box_start box_end quad_start quad_end vision_start ' +
  'vision_end vision_pad image_pad video_pad'
).split(' ');
const added = (content: string, id: number) => ({
  ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
});
/** A byte-level tokenizer of the given size with Qwen2.5's special tokens after it. */
function standIn(words: Record<string, number>, firstSpecial: number, extra: number) {
  const names = [
    ...BASE.map((name) => `<|${name}|>`),
    ...Array.from({ length: extra }, (_, i) => `<|extra_${i}|>`),
  ];
  return {
    version: '1.0',
    added_tokens: names.map((name, i) => added(name, firstSpecial + i)),
    normalizer: { type: 'NFC' },
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: { type: 'BPE', vocab: words, merges: [], ignore_merges: false },
  };
}

describe.each(fixtureCases('tokenizer'))('$name', ({ dir }) => {
  it('lays out text-to-image sequences as upstream', () => {
    const expected = readJson<{
      ids: Ids;
      num_image_tokens: number;
      max_text_len: number;
      prompt_ids: number[][];
      text_tokens: number[][];
      text_tokens_null: number[][];
      modality_positions: ModalityPositions;
      modality_positions_null: ModalityPositions;
    }>(dir, 'prepare_gen_input.json');
    const made = generationLayout(expected.prompt_ids, {
      tokens: tokenIds(expected.ids),
      blockLength: expected.num_image_tokens,
      maxTextLength: expected.max_text_len,
    });
    expect(made.conditional).toEqual({
      tokens: expected.text_tokens,
      positions: expected.modality_positions,
    });
    expect(made.unconditional).toEqual({
      tokens: expected.text_tokens_null,
      positions: expected.modality_positions_null,
    });
  });

  it('lays out mixed-modal sequences as upstream', () => {
    const expected = readJson<{
      ids: Ids;
      num_image_tokens: number;
      cases: {
        prompt_ids: number[];
        null_ids: number[];
        text_tokens: number[];
        text_tokens_null: number[];
        modality_positions: [number, number][];
        modality_positions_null: [number, number][];
      }[];
    }>(dir, 'prepare_mixed_modal_gen_input.json');
    for (const one of expected.cases) {
      const options = { tokens: tokenIds(expected.ids), blockLength: expected.num_image_tokens };
      const made = mixedModalLayout([one.prompt_ids], [one.null_ids], options);
      expect(made.conditional.tokens[0]).toEqual(one.text_tokens);
      expect(made.unconditional.tokens[0]).toEqual(one.text_tokens_null);
      expect(made.conditional.positions[0]).toEqual(one.modality_positions);
      expect(made.unconditional.positions[0]).toEqual(one.modality_positions_null);
    }
  });

  it('builds the same masks', () => {
    const { cases } = readJson<{
      cases: { key: string; length: number; modality_positions: ModalityPositions }[];
    }>(dir, 'masks.json');
    const masks = readTensors(dir, 'masks.safetensors');
    for (const { key, length, modality_positions } of cases) {
      const allowed = omniAttentionAllowed(length, modality_positions).flatMap((row) => Array.from(row));
      expect(allowed).toEqual(numbers(masks[`${key}.allow`]!));
      const additive = Array.from(omniAttentionMask(length, modality_positions).dataSync());
      expect(additive).toEqual(numbers(masks[`${key}.additive`]!));
    }
  });

  it('gives the added tokens of Qwen2.5 the published ids', () => {
    const expected = readJson<{ expected_with_qwen2_5: Ids & Record<string, number> }>(
      dir,
      'special_tokens.json',
    );
    const ids = expected.expected_with_qwen2_5;
    const words = Object.fromEntries(Array.from({ length: 151643 }, (_, i) => [`w${i}`, i]));
    const tokenizer = qwenTokenizer(standIn(words, 151643, 22 - BASE.length), { eos_token: '<|im_end|>' });
    expect(tokenizer.vocabSize).toBe(ids.llm_vocab_size);
    expect(tokenizer.tokens).toEqual({
      ...tokenIds(ids),
      bov: ids.bov_id,
      eov: ids.eov_id,
      videoPad: ids.vid_pad_id,
    });
    expect(tokenizer.encode('<image>')).toEqual([ids.img_id]);
  });
});

/** Taken from Qwen's tokenizer.json (Apache-2.0): every merge that can happen inside these sentences, true ids. */
describe('Qwen2.5’s own tokenizer, cut down to the words of a few sentences', () => {
  const folder = fileURLToPath(new URL('./qwen2.5-excerpt', import.meta.url));

  it('is read from its folder, with Show-o2’s tokens behind its own', async () => {
    const { tokens, vocabSize } = await loadTokenizer(folder);
    expect(tokens).toEqual(QWEN2_5_TOKENS);
    expect(vocabSize).toBe(QWEN2_5_VOCABULARY);
  });

  it.each([
    ['Hello, world!', [9707, 11, 1879, 0]],
    ['system\nYou are a helpful assistant.<|im_end|>', [8948, 198, 2610, 525, 264, 10950, 17847, 13, 151645]],
    ['\n<|im_start|>user\n', [198, 151644, 872, 198]],
    ['a red circle left of a blue square', [64, 2518, 12671, 2115, 315, 264, 6303, 9334]],
    [
      'A photo of 12 naïve cats — “日本語”',
      [32, 6548, 315, 220, 16, 17, 94880, 586, 19423, 1959, 1036, 101059, 102819, 854],
    ],
    ["it's 3.5 o'clock", [275, 594, 220, 18, 13, 20, 297, 62410]],
    ['<image>[PAD]<|vid_start|><|vid_end|>', [151666, 151665, 151667, 151668]],
  ])('gives %j the published ids, and reads them back', async (text, ids) => {
    const tokenizer = await loadTokenizer(folder);
    expect(tokenizer.encode(text)).toEqual(ids);
    expect(tokenizer.decode(ids)).toBe(text);
    const words = text.replace(/<\|im_\w+\|>|\[PAD\]/g, '');
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(words);
  });

  it('cuts prompts at the configured length and nothing else', async () => {
    const tokenizer = await loadTokenizer(folder);
    const config = { ...tiny, tokens: tokenizer.tokens, maxTextLength: 5 };
    const ids = tokenizer.encode('a red circle left of a blue square');
    const { tokens, lengths } = promptTokens(config, [ids, ids.slice(0, 2), []]);
    const { bos, boi, pad } = tokenizer.tokens;
    expect(tokens.arraySync()).toEqual([
      [bos, ...ids.slice(0, 5), boi],
      [bos, ...ids.slice(0, 2), boi, pad, pad, pad],
      [bos, boi, pad, pad, pad, pad, pad],
    ]);
    expect([...lengths.dataSync()]).toEqual([7, 4, 2]);
  });
});

describe('qwenTokenizer', () => {
  const letters = Object.fromEntries([...'abcdefgh', 'Ġ'].map((letter, i) => [letter, i]));
  const tokenizer = qwenTokenizer(standIn(letters, 9, 0), { eos_token: { content: '<|im_end|>' } });

  it('encodes text and written-out special tokens, and decodes them', () => {
    const ids = tokenizer.encode('a bad<|vision_start|>');
    expect(ids).toEqual([0, 8, 1, 0, 3, tokenizer.tokens.boi]);
    expect(tokenizer.decode(ids)).toBe('a bad<|vision_start|>');
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe('a bad');
    expect(tokenizer.encode('')).toEqual([]);
  });

  it('refuses a vocabulary without the structural tokens', () => {
    const bare = { ...standIn(letters, 9, 0), added_tokens: [] };
    expect(() => qwenTokenizer(bare, {})).toThrow(/no token '<\|im_start\|>'/);
  });
});

describe('wordTokenizer', () => {
  const tokenizer = wordTokenizer({ words: ['two', 'red', 'circles', ',', '3'] });

  it('splits words, numbers and marks whatever their case', () => {
    expect(tokenizer.decode(tokenizer.encode('Two RED circles,3'))).toBe('two red circles , 3');
    expect(tokenizer.encode('<|vision_start|>')).toEqual([tokenizer.tokens.boi]);
    const unknown = tokenizer.encode('blue');
    expect(unknown).toHaveLength(1);
    expect(tokenizer.decode(unknown, { skipSpecial: true })).toBe('');
  });

  it('refuses words it could never match', () => {
    expect(() => wordTokenizer({ words: ['red ball'] })).toThrow(/red ball/);
    expect(() => wordTokenizer({ words: ['red', 'red'] })).toThrow(/twice/);
  });
});
