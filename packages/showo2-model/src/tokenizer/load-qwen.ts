import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { qwenTokenizer, type TokenizerConfigJson, type TokenizerJson } from './qwen';
import type { TextTokenizer } from './tokenizer';

/** Reads tokenizer.json and tokenizer_config.json of a folder. Throws naming the file that is missing or broken. */
export async function loadQwenTokenizer(folder: string): Promise<TextTokenizer> {
  const read = async <T>(name: string): Promise<T> => {
    const file = join(folder, name);
    try {
      return JSON.parse(await readFile(file, 'utf8')) as T;
    } catch (error) {
      throw new Error(`${file} cannot be read as JSON: ${(error as Error).message}`, { cause: error });
    }
  };
  const json = await read<TokenizerJson>('tokenizer.json');
  if (!json.model?.vocab) throw new Error(`${join(folder, 'tokenizer.json')} has no model.vocab.`);
  return qwenTokenizer(json, await read<TokenizerConfigJson>('tokenizer_config.json'));
}
