import { expect, it } from 'vitest';
import { bytePairTokenizer, spelledByteLevel } from './index';

/** U+FEFF in bytes, as a byte-level vocabulary spells them. */
const MARK = ['ï', '»', '¿'];

it('splits by Unicode’s white space, as Rust does, not by JavaScript’s: U+FEFF is none', () => {
  const vocab = Object.fromEntries([...MARK, '!', 'a', '¿!'].map((token, id) => [token, id]));
  const tokenizer = bytePairTokenizer(
    {
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
      decoder: { type: 'ByteLevel' },
      model: { type: 'BPE', vocab, merges: ['¿ !'] },
    } as never,
    {},
  );
  expect(tokenizer.encode('a\ufeff!')).toEqual([4, 0, 1, 5]);
  expect(tokenizer.decode([4, 0, 1, 5])).toBe('a\ufeff!');
});

it('leaves what does not split, or puts a space first, as it is', () => {
  const plain = { type: 'ByteLevel', use_regex: false };
  const spaced = { type: 'ByteLevel', add_prefix_space: true };
  expect(spelledByteLevel(plain)).toEqual(plain);
  expect(spelledByteLevel(spaced)).toEqual(spaced);
  const nested = { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, { type: 'ByteLevel' }] };
  const { pretokenizers } = spelledByteLevel(nested) as { pretokenizers: { type: string }[] };
  expect(pretokenizers.map(({ type }) => type)).toEqual(['WhitespaceSplit', 'Split', 'ByteLevel']);
});
