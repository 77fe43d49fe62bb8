import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { qwenTokenizer, type TokenizerConfigJson, type TokenizerJson } from './qwen';
import type { TextTokenizer } from './tokenizer';

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
