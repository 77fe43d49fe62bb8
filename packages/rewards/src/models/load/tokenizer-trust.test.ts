import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { letterTokenizer } from '../scorers/tiny-models.testing';
import { loadTokenizer } from './tokenizer';

const folder = mkdtempSync(join(tmpdir(), 'tokenizer-'));
afterAll(() => rmSync(folder, { recursive: true }));
const tokenizer = join(folder, 'tokenizer.json');
const tokenizerConfig = join(folder, 'tokenizer_config.json');
const LENGTH = 77;

const load = (json: unknown, config: unknown = {}) => {
  writeFileSync(tokenizer, JSON.stringify(json) ?? '');
  writeFileSync(tokenizerConfig, JSON.stringify(config));
  return loadTokenizer({ tokenizer, tokenizerConfig }, { length: LENGTH });
};

interface Json {
  model: Record<string, unknown> & { vocab: Record<string, number> };
  added_tokens: object[];
  [key: string]: unknown;
}

const special = (id: number, content: string) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});
const letters = [..."abcdefghijklmnopqrstuvwxyz0123456789!'"];

/** The parts of CLIP's tokenizer.json around a small vocabulary of bytes. */
const clip: Json = {
  version: '1.0',
  truncation: { max_length: 1, strategy: 'LongestFirst', stride: 0, direction: 'Right' },
  padding: { strategy: { Fixed: 500 }, direction: 'Right', pad_id: 0, pad_type_id: 0, pad_token: 'a' },
  added_tokens: [special(90, '<|startoftext|>'), special(91, '<|endoftext|>')],
  normalizer: {
    type: 'Sequence',
    normalizers: [
      { type: 'NFC' },
      { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
      { type: 'Lowercase' },
    ],
  },
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      {
        type: 'Split',
        pattern: { Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
        behavior: 'Removed',
        invert: true,
      },
      { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
    ],
  },
  post_processor: {
    type: 'RobertaProcessing',
    sep: ['<|endoftext|>', 91],
    cls: ['<|startoftext|>', 90],
    trim_offsets: false,
    add_prefix_space: false,
  },
  decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true },
  model: {
    type: 'BPE',
    dropout: null,
    unk_token: '<|endoftext|>',
    continuing_subword_prefix: '',
    end_of_word_suffix: '</w>',
    fuse_unk: false,
    vocab: Object.fromEntries([
      ...letters.map((letter, i) => [letter, i]),
      ...letters.map((letter, i) => [`${letter}</w>`, 40 + i]),
      ['re', 80],
      ['red</w>', 81],
      ['<|startoftext|>', 90],
      ['<|endoftext|>', 91],
    ]),
    merges: ['r e', 're d</w>'],
  },
};

/** The parts of BERT's. */
const bert: Json = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: [special(0, '[PAD]'), special(1, '[UNK]'), special(2, '[CLS]'), special(3, '[SEP]')],
  normalizer: {
    type: 'BertNormalizer',
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  },
  pre_tokenizer: { type: 'BertPreTokenizer' },
  post_processor: {
    type: 'TemplateProcessing',
    single: [
      { SpecialToken: { id: '[CLS]', type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
      { SpecialToken: { id: '[SEP]', type_id: 0 } },
    ],
    pair: [],
    special_tokens: {
      '[CLS]': { id: '[CLS]', ids: [2], tokens: ['[CLS]'] },
      '[SEP]': { id: '[SEP]', ids: [3], tokens: ['[SEP]'] },
    },
  },
  decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
  model: {
    type: 'WordPiece',
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 100,
    vocab: {
      '[PAD]': 0,
      '[UNK]': 1,
      '[CLS]': 2,
      '[SEP]': 3,
      red: 4,
      re: 5,
      '##d': 6,
      a: 7,
      '##a': 8,
      '!': 9,
    },
  },
};

const model = (json: Json, change: object): Json => ({ ...json, model: { ...json.model, ...change } });
const word = (json: Json, name: string, id: unknown) =>
  model(json, { vocab: { ...json.model.vocab, [name]: id } });
const added = (json: Json, change: object) => ({
  ...json,
  added_tokens: [...json.added_tokens, { ...special(200, 'new'), ...change }],
});
const endless = '(a+)+$';
const split = (pattern: object) => ({ type: 'Split', pattern, behavior: 'Removed', invert: true });

it('reads files that leave out what they do not need', async () => {
  const { normalizer: _, post_processor: __, decoder: ___, ...rest } = clip;
  const tokenize = await load(rest);
  expect(tokenize(['red'])[0]!.slice(0, 1)).toEqual([81]);
});

it('takes U+FEFF for a character, as Rust does, not for white space, as JavaScript does', async () => {
  const vocab = { ...clip.model.vocab, ï: 82, '»': 83, '¿': 84, '¿</w>': 85 };
  const tokenize = await load({ ...clip, model: { ...clip.model, vocab } });
  const [row] = tokenize(['red \ufeff! a\u0085b']);
  const letter = (of: string) => 40 + letters.indexOf(of);
  expect(row!.slice(0, 8)).toEqual([90, 81, 82, 83, 84, letter('!'), letter('a'), letter('b')]);
});

describe('a tokenizer file of a scorer', () => {
  it('of CLIP’s, BERT’s and the tests’ kind is read, whatever it asks to cut and to pad', async () => {
    expect((await load(clip))(['a  RED\tcat'])[0]!.slice(0, 8)).toEqual([90, 40, 81, 2, 0, 59, 91, 91]);
    expect((await load(bert))(['Red réd a!'])[0]!.slice(0, 7)).toEqual([2, 4, 4, 7, 9, 3, 3]);
    expect((await load(letterTokenizer(0, 1)))(['ab'])[0]!.slice(0, 4)).toEqual([0, 3, 4, 1]);
  });

  it.each<[what: string, json: unknown, message: string]>([
    ['is null', null, 'not a tokenizer'],
    ['is a list', [], 'not a tokenizer'],
    ['is text', 'tokenizer', 'not a tokenizer'],
    ['has no model', { ...clip, model: undefined }, 'model'],
    ['is of another model', model(clip, { type: 'Unigram' }), 'model'],
    ['drops merges at random', model(clip, { dropout: 0.1 }), 'dropout'],
    ['has no vocabulary', model(bert, { vocab: undefined }), 'no model.vocab'],
    ['has a list for a vocabulary', model(bert, { vocab: [] }), 'no model.vocab'],
    ['has a negative id', word(clip, 'x1', -1), '"x1" the id -1'],
    ['has a fraction for an id', word(bert, 'x1', 0.5), 'the id 0.5'],
    ['has text for an id', word(bert, 'x1', '7'), 'the id "7"'],
    ['has null for an id', word(clip, 'x1', null), 'the id null'],
    ['has an id that takes all memory', word(bert, 'x1', 4e9), 'the id 4000000000'],
    ['gives an id twice', word(bert, 'x1', 4), 'the id 4, not one of its own'],
    ['has a token of a megabyte', word(clip, 'x'.repeat(2 ** 20), 500), 'of 1048576 characters'],
    ['has an empty token', word(bert, '', 500), 'of 0 characters'],
    ['has no merges', model(clip, { merges: undefined }), 'merges is not a list'],
    ['merges what it has not', model(clip, { merges: ['zz q'] }), 'merges[0] is not of tokens'],
    ['merges to what it has not', model(clip, { merges: ['r e', 'a b'] }), 'merges[1] is not of tokens'],
    ['merges three', model(clip, { merges: ['r e d'] }), 'merges[0] is not of tokens'],
    ['merges numbers', model(clip, { merges: [[1, 2]] }), 'merges[0] is not of tokens'],
    ['has no word for unknown ones', model(bert, { unk_token: '[NOWHERE]' }), 'unk_token'],
    ['takes words without end', model(bert, { max_input_chars_per_word: 1e9 }), 'max_input_chars_per_word'],
    ['has a prefix of a megabyte', model(bert, { continuing_subword_prefix: '#'.repeat(2 ** 20) }), 'prefix'],
    ['adds a token with the id of another', added(bert, { id: 4 }), 'means something else'],
    ['adds a word with another id', added(bert, { content: 'red' }), 'means something else'],
    ['adds an id beyond all', added(clip, { id: 2 ** 31 }), 'added_tokens'],
    ['adds a token without text', added(clip, { content: '' }), 'added_tokens'],
    [
      'splits by an expression without end',
      { ...clip, pre_tokenizer: split({ Regex: endless }) },
      'linear time',
    ],
    ['splits by a broken expression', { ...clip, pre_tokenizer: split({ Regex: '(' }) }, 'linear time'],
    [
      'hides that in a sequence',
      { ...clip, pre_tokenizer: { type: 'Sequence', pretokenizers: [split({ Regex: endless })] } },
      'linear time',
    ],
    [
      'replaces by an expression without end',
      { ...clip, normalizer: { type: 'Replace', pattern: { Regex: endless }, content: '' } },
      'linear time',
    ],
    [
      'replaces letters by books',
      { ...bert, normalizer: { type: 'Replace', pattern: { String: 'a' }, content: 'a'.repeat(1000) } },
      'content',
    ],
    ['puts something before', { ...bert, normalizer: { type: 'Prepend', prepend: 'x' } }, 'normalizer'],
    [
      'loads a table',
      { ...bert, normalizer: { type: 'Precompiled', precompiled_charsmap: 'AA==' } },
      'normalizer',
    ],
    [
      'nests sequences',
      { ...clip, normalizer: { type: 'Sequence', normalizers: [clip.normalizer] } },
      'normalizer',
    ],
    ['has an unknown pre-tokenizer', { ...bert, pre_tokenizer: { type: 'Evil' } }, 'pre_tokenizer'],
    ['has no pre-tokenizer', { ...bert, pre_tokenizer: null }, 'pre_tokenizer'],
    ['has an unknown decoder', { ...bert, decoder: { type: 'Evil' } }, 'decoder'],
    ['has an unknown post-processor', { ...bert, post_processor: { type: 'Evil' } }, 'post_processor'],
    [
      'ends with no token',
      { ...clip, post_processor: { type: 'RobertaProcessing', sep: null, cls: null } },
      'post_processor',
    ],
    [
      'repeats the text',
      {
        ...bert,
        post_processor: {
          ...(bert.post_processor as object),
          single: Array.from({ length: 1000 }, () => ({ Sequence: { id: 'A', type_id: 0 } })),
        },
      },
      'post_processor',
    ],
  ])('that %s is refused with its name', async (_, json, message) => {
    const loading = load(json);
    await expect(loading).rejects.toThrow(message);
    await expect(loading).rejects.toThrow(tokenizer);
  });

  it.each([[[]], ['x'], [{ clean_up_tokenization_spaces: 'x' }], [{ tokenizer_class: 5 }]])(
    'with the configuration %j is refused with its name',
    async (config) => {
      await expect(load(bert, config)).rejects.toThrow(tokenizerConfig);
    },
  );

  // Prompts are input too: each of these is the worst of a kind for one of the steps.
  it.each([
    ['one letter', 'a'],
    ['spaces', ' '],
    ['line ends', '\r\n'],
    ['marks', "'!"],
    ['digits', '7'],
    ['combining marks', 'e\u0301\u0316'],
    ['a word without end', 'redreda'],
    ['pieces of special tokens', '<|startoftext|'],
    ['ideographs', '\u732b'],
    ['emoji', '\u{1f980}'],
  ])('encodes 3,000 times %s', async (_, piece) => {
    for (const json of [clip, bert]) {
      const [row] = (await load(json))([piece.repeat(3_000)]);
      expect(row).toHaveLength(LENGTH);
      expect(row!.every(Number.isInteger)).toBe(true);
    }
  });
});
