import type { TokenIds } from '../config/config';

/** Text to ids and back, for a model's vocabulary. */
export interface TextTokenizer {
  /** Ids of `text`; special tokens written out in it are recognised, none are added. */
  encode(text: string): number[];
  decode(ids: readonly number[], options?: { skipSpecial?: boolean }): string;
  /** Rows the embedding needs. */
  readonly vocabSize: number;
  readonly tokens: TokenIds;
}

/** Names of the structural tokens in Qwen2.5's vocabulary with Show-o2's additions (upstream `get_text_tokenizer`). */
export const TOKEN_NAMES = {
  bos: '<|im_start|>',
  eos: '<|im_end|>',
  boi: '<|vision_start|>',
  eoi: '<|vision_end|>',
  bov: '<|vid_start|>',
  eov: '<|vid_end|>',
  imagePad: '<|image_pad|>',
  videoPad: '<|video_pad|>',
  pad: '[PAD]',
} as const satisfies Record<keyof TokenIds, string>;

/** What Show-o2 adds to the base vocabulary, in upstream's order: the padding token first. */
export const ADDED_TOKENS = ['[PAD]', '<image>', '<|vid_start|>', '<|vid_end|>'] as const;

/** Ids of the structural tokens. Throws for a vocabulary that lacks one. */
export function structuralIds(
  id: (token: string) => number | undefined,
  eos: string = TOKEN_NAMES.eos,
): TokenIds {
  const entries = Object.entries({ ...TOKEN_NAMES, eos }).map(([role, token]) => {
    const value = id(token);
    if (value === undefined) throw new Error(`The tokenizer has no token '${token}' (${role}).`);
    return [role, value];
  });
  return Object.fromEntries(entries) as TokenIds;
}
