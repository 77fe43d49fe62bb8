import { Tokenizer } from '@huggingface/tokenizers';
import { ADDED_TOKENS, structuralIds, type TextTokenizer } from './tokenizer';

interface AddedToken {
  id: number;
  content: string;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
  special: boolean;
}

/** The parts of a tokenizer.json that are read here. */
export interface TokenizerJson {
  model: { vocab: Record<string, number> };
  added_tokens?: AddedToken[];
}

/** The parts of a tokenizer_config.json that are read here. */
export interface TokenizerConfigJson {
  eos_token?: string | { content: string } | null;
}

/**
 * A Qwen2.5 tokenizer with Show-o2's added tokens. New ids follow the base vocabulary in upstream's order; a token the
 * file already holds keeps its id.
 */
export function qwenTokenizer(json: TokenizerJson, config: TokenizerConfigJson): TextTokenizer {
  const base = json.added_tokens ?? [];
  const ids = new Map(Object.entries(json.model.vocab));
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
  const eos = typeof config.eos_token === 'object' ? config.eos_token?.content : config.eos_token;
  const tokenizer = new Tokenizer({ ...json, added_tokens: added }, config);
  return {
    encode: (text) =>
      text === '' ? [] : Array.from(tokenizer.encode(text, { add_special_tokens: false }).ids, Number),
    decode: (list, { skipSpecial = false } = {}) =>
      list.length === 0 ? '' : tokenizer.decode([...list], { skip_special_tokens: skipSpecial }),
    vocabSize: next,
    tokens: structuralIds((token) => ids.get(token), eos ?? undefined),
  };
}
