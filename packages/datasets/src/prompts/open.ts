import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ColumnOptions, openCsv, openJsonLines, openText, openTsv } from './formats';
import { openParquet } from './parquet';
import type { PromptSet } from './prompt-set';

export interface OpenPromptsOptions extends ColumnOptions {
  /** Which file of a folder: `train` (default), `test`, or another name. Ignored for a file. */
  split?: string;
}

const READERS: Record<string, (path: string, options: ColumnOptions) => Promise<PromptSet>> = {
  '.txt': openText,
  '.jsonl': openJsonLines,
  '.csv': openCsv,
  '.tsv': openTsv,
  '.parquet': openParquet,
};

/**
 * Opens a prompt file by its extension (.txt, .jsonl, .csv, .tsv, .parquet), or a folder laid out as flow_grpo's
 * `dataset/*`: `<split>_metadata.jsonl` (with metadata) or `<split>.txt`, also `<split>.jsonl`, `.csv`,
 * `.tsv` and `.parquet`. Files larger than memory are fine: only the positions of the records are kept.
 * Text is UTF-8, or UTF-16 with a byte order mark (which is converted in memory); lines end with LF, CR LF or CR.
 *
 * @throws when there is no such file, the extension is unknown, the file has no prompt in it, or its bytes are not text.
 */
export async function openPrompts(path: string, options: OpenPromptsOptions = {}): Promise<PromptSet> {
  const { split = 'train' } = options;
  const kind = await stat(path).catch(() => undefined);
  if (!kind) throw new Error(`openPrompts: ${path} does not exist`);
  const file = kind.isDirectory() ? await fileOfSplit(path, split) : path;
  const extension = Object.keys(READERS).find((end) => file.toLowerCase().endsWith(end));
  if (!extension) {
    throw new Error(`openPrompts: ${file} is none of ${Object.keys(READERS).join(', ')}`);
  }
  const set = await READERS[extension]!(file, options);
  if (set.length === 0) {
    await set.close();
    throw new Error(`openPrompts: ${file} has no prompts`);
  }
  return set;
}

async function fileOfSplit(folder: string, split: string): Promise<string> {
  const names = [`${split}_metadata.jsonl`, ...Object.keys(READERS).map((end) => `${split}${end}`)];
  for (const name of names) {
    const path = join(folder, name);
    if ((await stat(path).catch(() => undefined))?.isFile()) return path;
  }
  throw new Error(`openPrompts: ${folder} has no split "${split}" (looked for ${names.join(', ')})`);
}
