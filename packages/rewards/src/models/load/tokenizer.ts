import { Tokenizer } from '@huggingface/tokenizers';
import { optionalJson } from './source';
import { checkTokenizer, checkTokenizerConfig } from './tokenizer-schema';

/** Prompts to rows of token ids of one length. */
export type Tokenize = (prompts: readonly string[]) => number[][];

export interface TokenizeOptions {
  /** Length of every row: longer prompts are cut and keep their last special token. */
  length: number;
  /** What shorter rows are filled with; the end token of the row when left out. */
  pad?: number;
}

/** Cuts or fills one row of ids that ends in its end token. */
export function fitRow(ids: readonly number[], { length, pad }: TokenizeOptions): number[] {
  const end = ids[ids.length - 1];
  if (end === undefined) throw new Error('The tokenizer gave no token, not even a start or an end.');
  const cut = ids.length > length ? [...ids.slice(0, length - 1), end] : [...ids];
  return [...cut, ...new Array<number>(length - cut.length).fill(pad ?? end)];
}

/** BERT's has 0.5 MB, CLIP's 2 MB. */
const MAX_FILE_BYTES = 64 * 2 ** 20;

/** The tokenizer in the files of a model. Throws naming the file that is none, or could take for ever. */
export async function loadTokenizer(
  files: { tokenizer: string; tokenizerConfig: string | undefined },
  tokenize: TokenizeOptions,
): Promise<Tokenize> {
  const { tokenizer: file, tokenizerConfig } = files;
  const json = checkTokenizer(await optionalJson(file, MAX_FILE_BYTES), file);
  const config = (await optionalJson(tokenizerConfig, MAX_FILE_BYTES)) ?? {};
  const tokenizer = new Tokenizer(json, checkTokenizerConfig(config, tokenizerConfig ?? file));
  return (prompts) => prompts.map((prompt) => fitRow(tokenizer.encode(prompt).ids, tokenize));
}
