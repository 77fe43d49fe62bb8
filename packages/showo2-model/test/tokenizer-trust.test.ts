import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { loadTokenizer } from '../src/pipeline/load';

const excerpt = fileURLToPath(new URL('qwen2.5-excerpt', import.meta.url));
const good = JSON.parse(readFileSync(join(excerpt, 'tokenizer.json'), 'utf8'));
const config = JSON.parse(readFileSync(join(excerpt, 'tokenizer_config.json'), 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'tokenizer-'));
afterAll(() => rmSync(folder, { recursive: true }));

const load = (json: unknown, settings: unknown = config) => {
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(json));
  writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(settings));
  return loadTokenizer(folder);
};
const model = (change: object) => ({ ...good, model: { ...good.model, ...change } });
const [[word, at]] = Object.entries(good.model.vocab) as [[string, number]];
const addedToken = (change: object) => ({
  ...good,
  added_tokens: [...good.added_tokens, { ...good.added_tokens[0], ...change }],
});
const splitting = (Regex: string) => ({
  ...good,
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [{ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false }],
  },
});
const replacing = { type: 'Replace', pattern: { Regex: '(a+)+$' }, content: '' };

describe('a tokenizer file', () => {
  it('of Qwen2.5 is read, with merges as text too, and whatever truncation it asks for', async () => {
    const tokenizer = await load(good);
    const ids = tokenizer.encode('a red circle left of a blue square');
    expect(tokenizer.decode(ids)).toBe('a red circle left of a blue square');
    const merges = good.model.merges.map((pair: string[]) => pair.join(' '));
    const cut = { direction: 'Right', max_length: 1, strategy: 'LongestFirst', stride: 0 };
    const other = await load({ ...model({ merges }), truncation: cut, padding: { strategy: { Fixed: 99 } } });
    expect(other.encode('a red circle left of a blue square')).toEqual(ids);
  });

  it.each<[what: string, json: unknown, message: string]>([
    ['is null', null, 'not a tokenizer'],
    ['is a list', [], 'not a tokenizer'],
    ['has no model', { ...good, model: undefined }, 'model'],
    ['is of another model', model({ type: 'Unigram' }), 'BPE'],
    ['has no vocabulary', model({ vocab: undefined }), 'no model.vocab'],
    ['has a list for a vocabulary', model({ vocab: [] }), 'no model.vocab'],
    ['has a negative id', model({ vocab: { ...good.model.vocab, x1: -1 } }), '"x1" the id -1'],
    ['has a fraction for an id', model({ vocab: { ...good.model.vocab, x1: 0.5 } }), 'the id 0.5'],
    ['has text for an id', model({ vocab: { ...good.model.vocab, x1: '7' } }), 'the id "7"'],
    ['has null for an id', model({ vocab: { ...good.model.vocab, x1: null } }), 'the id null'],
    [
      'has an id that takes all memory',
      model({ vocab: { ...good.model.vocab, x1: 4e9 } }),
      'the id 4000000000',
    ],
    [
      'gives an id twice',
      model({ vocab: { ...good.model.vocab, x1: at } }),
      `the id ${at}, not one of its own`,
    ],
    [
      'has a token of a megabyte',
      model({ vocab: { ...good.model.vocab, ['x'.repeat(2 ** 20)]: 5000 } }),
      'of 1048576 characters',
    ],
    ['has no merges', model({ merges: undefined }), 'merges is not a list'],
    ['merges what it has not', model({ merges: [['nowhere1', word]] }), 'merges[0] is not of tokens'],
    ['merges to what it has not', model({ merges: [[word, word]] }), 'merges[0] is not of tokens'],
    ['merges three', model({ merges: ['a b c'] }), 'merges[0] is not of tokens'],
    ['merges numbers', model({ merges: [[1, 2]] }), 'merges[0] is not of tokens'],
    ['adds a token with the id of another', addedToken({ content: 'new', id: at }), 'means something else'],
    ['adds a word with another id', addedToken({ content: word, id: 200_000 }), 'means something else'],
    ['adds an id beyond all', addedToken({ content: 'new', id: 2 ** 31 }), 'added_tokens'],
    ['adds a token without text', addedToken({ content: '', id: 200_000 }), 'added_tokens'],
    ['adds a token that is no text', addedToken({ content: 5, id: 200_000 }), 'added_tokens'],
    ['splits by an expression without end', splitting('(a+)+$'), 'not known to take linear time'],
    ['splits by a broken expression', splitting('('), 'not known to take linear time'],
    ['replaces by an expression', { ...good, normalizer: replacing }, 'normalizer'],
    [
      'hides that in a sequence',
      { ...good, normalizer: { type: 'Sequence', normalizers: [replacing] } },
      'normalizer',
    ],
    [
      'adds an endless prefix',
      { ...good, normalizer: { type: 'Prepend', prepend: 'x'.repeat(99) } },
      'normalizer',
    ],
    ['has an unknown pre-tokenizer', { ...good, pre_tokenizer: { type: 'Whitespace' } }, 'pre_tokenizer'],
    ['has no pre-tokenizer', { ...good, pre_tokenizer: null }, 'pre_tokenizer'],
    [
      'has an unknown decoder',
      { ...good, decoder: { type: 'Replace', pattern: { Regex: '(a+)+$' } } },
      'decoder',
    ],
    ['has an unknown post-processor', { ...good, post_processor: { type: 'Evil' } }, 'post_processor'],
  ])('that %s is refused with its name', async (_, json, message) => {
    const loading = load(json);
    await expect(loading).rejects.toThrow(message);
    await expect(loading).rejects.toThrow(join(folder, 'tokenizer.json'));
  });

  it.each([[{ eos_token: 5 }], [{ eos_token: {} }], [[]], ['x']])(
    'with the configuration %j is refused with its name',
    async (settings) => {
      await expect(load(good, settings)).rejects.toThrow(join(folder, 'tokenizer_config.json'));
    },
  );

  it('names the end-of-text token that it has not', async () => {
    await expect(load(good, { eos_token: '<|nowhere|>' })).rejects.toThrow("no token '<|nowhere|>'");
  });

  // Prompts are input too: each of these is the worst of a kind for one of the steps.
  it.each([
    ['one letter', 'a'],
    ['spaces', ' '],
    ['line ends', '\r\n'],
    ['marks', "'!"],
    ['digits', '7'],
    ['combining marks', 'e\u0301\u0316'],
    ['a word without end', 'circlesquare'],
    ['pieces of special tokens', '<|im_start|'],
    ['emoji', '🦀'],
  ])('encodes 3,000 times %s', async (_, piece) => {
    const tokenizer = await load(good);
    const text = piece.repeat(3_000);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.normalize('NFC'));
  });
});
