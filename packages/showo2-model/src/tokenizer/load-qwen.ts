import { readTokenizer } from '@flow-grpo/checkpoint-io';
import { qwenTokenizer } from './qwen';
import type { TextTokenizer } from './tokenizer';

/** Reads tokenizer.json and tokenizer_config.json of a folder. Throws naming the file that is missing or broken. */
export async function loadQwenTokenizer(folder: string): Promise<TextTokenizer> {
  const { json, config, source } = await readTokenizer(folder);
  return qwenTokenizer(json, config, source);
}
