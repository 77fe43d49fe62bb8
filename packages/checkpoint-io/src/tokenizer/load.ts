import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { TokenizerConfigJson } from './byte-pair';
import { type BytePairOptions, type BytePairTokenizer, bytePairTokenizer } from './byte-pair';
import type { TokenizerJson } from './schema';

/** Qwen2.5's has 7 MB. */
const MAX_FILE_BYTES = 128 * 2 ** 20;

/**
 * The tokenizer of a folder with tokenizer.json and tokenizer_config.json. Throws naming the file that is missing or broken.
 */
export async function loadBytePairTokenizer(
  folder: string,
  options: Pick<BytePairOptions, 'added'> = {},
): Promise<BytePairTokenizer> {
  const { json, config, source } = await readTokenizer(folder);
  return bytePairTokenizer(json, config, { ...options, source });
}

/** The contents of both files, not yet checked, and the path of the first. */
export async function readTokenizer(
  folder: string,
): Promise<{ json: TokenizerJson; config: TokenizerConfigJson; source: string }> {
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
  return { json, config, source: join(folder, 'tokenizer.json') };
}
