import { Tokenizer } from '@huggingface/tokenizers';
import { optionalJson } from './source';

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

/** The tokenizer in the files of a model. */
export async function loadTokenizer(
  files: { tokenizer: string; tokenizerConfig: string | undefined },
  tokenize: TokenizeOptions,
): Promise<Tokenize> {
  const json = (await optionalJson(files.tokenizer)) as object;
  const tokenizer = new Tokenizer(json, ((await optionalJson(files.tokenizerConfig)) ?? {}) as object);
  return (prompts) => prompts.map((prompt) => fitRow(tokenizer.encode(prompt).ids, tokenize));
}
