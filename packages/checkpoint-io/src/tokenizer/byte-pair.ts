import { Tokenizer } from '@huggingface/tokenizers';
import { checkTokenizerJson, eosTokenOf, type TokenizerJson } from './schema';

/** The parts of a tokenizer_config.json that are read here. */
export interface TokenizerConfigJson {
  eos_token?: string | { content: string } | null;
}

/** Text to ids and back. */
export interface BytePairTokenizer {
  /** Ids of `text`; special tokens written out in it are recognised, none are added. */
  encode(text: string): number[];
  decode(ids: readonly number[], options?: { skipSpecial?: boolean }): string;
  /** The id of a whole token. */
  idOf(token: string): number | undefined;
  /** Rows that an embedding needs. */
  readonly vocabSize: number;
  /** The end-of-text token that the configuration names. */
  readonly eos: string | undefined;
}

/** A token that a model adds to its tokenizer. */
export interface AddedToken {
  readonly content: string;
  /** Whether decoding may leave it out. Default false. */
  readonly special?: boolean;
}

export interface BytePairOptions {
  /** Get the ids behind the vocabulary, in this order; a token the file already holds keeps its id. */
  readonly added?: readonly AddedToken[];
  /** What errors call the file. */
  readonly source?: string;
}

/**
 * A byte-level BPE tokenizer such as Qwen2's, of the contents of tokenizer.json and tokenizer_config.json.
 *
 * @throws naming `source` and the field of a file that is no such tokenizer, or could take for ever
 */
export function bytePairTokenizer(
  json: TokenizerJson,
  config: TokenizerConfigJson,
  { added: wanted = [], source = 'tokenizer.json' }: BytePairOptions = {},
): BytePairTokenizer {
  const eos = eosTokenOf(config, source.replace('tokenizer.json', 'tokenizer_config.json'));
  const { json: checked, vocab, added: base } = checkTokenizerJson(json, source);
  const ids = new Map(vocab);
  for (const token of base) ids.set(token.content, token.id);
  const added = [...base];
  // As the tokenizers library numbers them: behind the words and whatever was added before.
  let next = [...ids.values()].reduce((top, id) => Math.max(top, id + 1), 0);
  for (const { content, special = false } of wanted) {
    if (ids.has(content)) continue;
    const id = next++;
    ids.set(content, id);
    added.push({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: !special,
      special,
    });
  }
  const tokenizer = new Tokenizer({ ...checked, added_tokens: added }, config);
  return {
    encode: (text) =>
      text === '' ? [] : Array.from(tokenizer.encode(text, { add_special_tokens: false }).ids, Number),
    decode: (list, { skipSpecial = false } = {}) =>
      list.length === 0 ? '' : tokenizer.decode([...list], { skip_special_tokens: skipSpecial }),
    idOf: (token) => ids.get(token),
    vocabSize: next,
    eos,
  };
}
