import { structuralIds, type TextTokenizer, TOKEN_NAMES } from './tokenizer';

const UNKNOWN = '<|unknown|>';
const SPECIAL = [...Object.values(TOKEN_NAMES), '<image>', UNKNOWN];

/** What a word vocabulary's file holds. */
export interface WordVocabulary {
  type: 'word';
  words: string[];
}

/**
 * One id a word, for small models: text is lower-cased and split into words, numbers and punctuation. Structural tokens
 * take the first ids, the words follow in their order; other words become one unknown token.
 */
export function wordTokenizer({ words }: Pick<WordVocabulary, 'words'>): TextTokenizer {
  const names = [...SPECIAL, ...words];
  const ids = new Map(names.map((name, id) => [name, id]));
  if (ids.size !== names.length) throw new Error('A word vocabulary may not hold a word twice.');
  const bad = words.find((word) => splitWords(word).length !== 1 || word !== word.toLowerCase());
  if (bad !== undefined)
    throw new Error(`'${bad}' is not one lower-case word, so it could never be matched.`);
  const unknown = ids.get(UNKNOWN)!;
  return {
    encode: (text) => splitWords(text).map((word) => ids.get(word) ?? unknown),
    decode: (list, { skipSpecial = false } = {}) =>
      list
        .filter((id) => !skipSpecial || id >= SPECIAL.length)
        .map((id) => names[id] ?? UNKNOWN)
        .join(' '),
    vocabSize: names.length,
    tokens: structuralIds((token) => ids.get(token)),
  };
}

/** Special tokens as they are; otherwise lower-case runs of letters or of digits, and single marks. */
function splitWords(text: string): string[] {
  const special = SPECIAL.map((token) => token.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|');
  const pieces = text.match(new RegExp(`${special}|\\p{L}+|\\p{N}+|[^\\s\\p{L}\\p{N}]`, 'gu')) ?? [];
  return pieces.map((piece) => (SPECIAL.includes(piece) ? piece : piece.toLowerCase()));
}

/** Checks and reads a parsed vocabulary file. */
export function parseWordVocabulary(value: unknown, source = 'the vocabulary'): WordVocabulary {
  const words = (value as WordVocabulary | null)?.words;
  if (!Array.isArray(words) || words.some((word) => typeof word !== 'string')) {
    throw new Error(`${source} must be {"type": "word", "words": ["…"]}.`);
  }
  return { type: 'word', words };
}
