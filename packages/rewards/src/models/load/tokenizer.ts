import { Tokenizer } from '@huggingface/tokenizers';
import { jsonFolder, optionalJson, type SourceOptions } from './source';

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

/**
 * The tokenizer.json of a folder or hub id. Throws where there is none, saying how to make one: vocab.json and
 * merges.txt alone are not read.
 */
export async function loadTokenizer(
  pathOrId: string,
  tokenize: TokenizeOptions,
  options: SourceOptions = {},
): Promise<Tokenize> {
  const folder = await jsonFolder(pathOrId, options);
  const json = await optionalJson(folder, 'tokenizer.json');
  if (!json) {
    throw new Error(
      `${pathOrId} has no tokenizer.json. Name a model that has one in the option 'processor' (for CLIP ` +
        `'openai/clip-vit-large-patch14', for ImageReward 'google-bert/bert-base-uncased'), or write one in Python with ` +
        `AutoTokenizer.from_pretrained(...).save_pretrained(folder).`,
    );
  }
  const config = (await optionalJson(folder, 'tokenizer_config.json')) ?? {};
  const tokenizer = new Tokenizer(json, config);
  return (prompts) => prompts.map((prompt) => fitRow(tokenizer.encode(prompt).ids, tokenize));
}
