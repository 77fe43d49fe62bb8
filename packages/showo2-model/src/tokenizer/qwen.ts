import { Tokenizer } from '@huggingface/tokenizers';
import { checkTokenizerJson, eosTokenOf, type TokenizerJson } from './schema';
import { ADDED_TOKENS, structuralIds, type TextTokenizer } from './tokenizer';

export type { TokenizerJson } from './schema';

/** The parts of a tokenizer_config.json that are read here. */
export interface TokenizerConfigJson {
  eos_token?: string | { content: string } | null;
}

/**
 * A Qwen2.5 tokenizer with Show-o2's added tokens. New ids follow the base vocabulary in upstream's order; a token the
 * file already holds keeps its id.
 *
 * @throws naming `source` and the field of a file that is no byte-level BPE tokenizer, or could take for ever
 */
export function qwenTokenizer(
  json: TokenizerJson,
  config: TokenizerConfigJson,
  source = 'tokenizer.json',
): TextTokenizer {
  const eos = eosTokenOf(config, source.replace('tokenizer.json', 'tokenizer_config.json'));
  const { json: checked, vocab, added: base } = checkTokenizerJson(json, source);
  const ids = new Map(vocab);
  for (const token of base) ids.set(token.content, token.id);
  const added = [...base];
  // As the tokenizers library numbers them: behind the words and whatever was added before.
  let next = [...ids.values()].reduce((top, id) => Math.max(top, id + 1), 0);
  for (const content of ADDED_TOKENS) {
    if (ids.has(content)) continue;
    const id = next++;
    ids.set(content, id);
    const special = content === '[PAD]';
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
    vocabSize: next,
    tokens: structuralIds((token) => ids.get(token), eos),
  };
}
