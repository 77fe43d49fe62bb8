import type { TokenIds } from '../config/config';
import type { ModalityPositions } from './mask';

/** Token rows of equal length and where their image blocks are. */
export interface Layout {
  tokens: number[][];
  positions: ModalityPositions;
}

/** `blockLength` counts the time token. */
interface BlockOptions {
  tokens: TokenIds;
  blockLength: number;
}

/**
 * Text-to-image sequences: [bos] text [boi] image [eoi] [eos] [pad…], text cut to and padded for `maxTextLength`
 * (upstream `prepare_gen_input`). The unconditional rows have no text.
 */
export function generationLayout(
  prompts: number[][],
  { tokens, blockLength, maxTextLength }: BlockOptions & { maxTextLength: number },
): { conditional: Layout; unconditional: Layout } {
  const layout = (texts: number[][]): Layout => ({
    tokens: texts.map((text) => [
      ...[tokens.bos, ...text, tokens.boi],
      ...repeat(tokens.imagePad, blockLength),
      ...[tokens.eoi, tokens.eos],
      ...repeat(tokens.pad, maxTextLength - text.length),
    ]),
    positions: texts.map((text) => [[text.length + 2, blockLength]]),
  });
  return {
    conditional: layout(prompts.map((ids) => ids.slice(0, maxTextLength))),
    unconditional: layout(prompts.map(() => [])),
  };
}

/**
 * Mixed-modal sequences: [bos] text [boi] image [eoi] [pad…], a row and its null row padded to the longer one, rounded up
 * to 128 (upstream `prepare_mixed_modal_gen_input`). The text may hold earlier image blocks.
 */
export function mixedModalLayout(
  prompts: number[][],
  nulls: number[][],
  { tokens, blockLength }: BlockOptions,
): { conditional: Layout; unconditional: Layout } {
  const row = (text: number[]) => [
    ...[tokens.bos, ...text, tokens.boi],
    ...repeat(tokens.imagePad, blockLength),
    tokens.eoi,
  ];
  const lengths = prompts.map((text, i) => {
    const longest = Math.max(text.length, nulls[i]!.length) + blockLength + 3;
    return Math.ceil(longest / 128) * 128;
  });
  const layout = (texts: number[][]): Layout => ({
    tokens: texts.map((text, i) => {
      const made = row(text);
      return [...made, ...repeat(tokens.pad, lengths[i]! - made.length)];
    }),
    positions: texts.map((text) => [[text.length + 2, blockLength]]),
  });
  return { conditional: layout(prompts), unconditional: layout(nulls) };
}

function repeat(id: number, count: number): number[] {
  return new Array<number>(count).fill(id);
}
