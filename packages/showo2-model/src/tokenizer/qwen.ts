import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
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

/** Qwen2.5's has 7 MB. */
const MAX_FILE_BYTES = 128 * 2 ** 20;

/** Reads tokenizer.json and tokenizer_config.json of a folder. Throws naming the file that is missing or broken. */
export async function loadQwenTokenizer(folder: string): Promise<TextTokenizer> {
  const read = async <T>(name: string): Promise<T> => {
    const file = join(folder, name);
    try {
      const { size } = await stat(file);
      if (size > MAX_FILE_BYTES) throw new Error(`it has ${size} bytes, more than ${MAX_FILE_BYTES}`);
      return JSON.parse(await readFile(file, 'utf8')) as T;
    } catch (error) {
      throw new Error(`${file} cannot be read as JSON: ${(error as Error).message}`, { cause: error });
    }
  };
  const json = await read<TokenizerJson>('tokenizer.json');
  const config = await read<TokenizerConfigJson>('tokenizer_config.json');
  return qwenTokenizer(json, config, join(folder, 'tokenizer.json'));
}
