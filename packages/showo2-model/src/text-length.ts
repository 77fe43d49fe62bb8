import type { Showo2Config } from './config/config';

/** Lengths are multiples of this, so that few shapes are compiled. */
const STEP = 16;

/** How long the text of a set of prompts is made. */
export interface TextLength {
  /** Text tokens that every prompt is padded or cut to, without [bos] and [boi]. */
  readonly length: number;
  /** Text tokens of the longest prompt. */
  readonly longest: number;
  /** Prompts that are longer than `length`. */
  readonly cut: number;
}

/**
 * One length for all prompts of a run, so that nothing is compiled twice and short prompts stay fast: that of the longest,
 * rounded up to a multiple of 16, at most `limit`. Padding is masked: another length gives the same numbers.
 *
 * @param tokenCounts text tokens of each prompt
 * @param limit at most, and by default, the model's `maxTextLength`
 */
export function chooseTextLength(
  config: Pick<Showo2Config, 'maxTextLength'>,
  tokenCounts: Iterable<number>,
  limit = config.maxTextLength,
): TextLength {
  const most = checkTextLength(config, limit);
  const counts = [...tokenCounts];
  const longest = counts.reduce((a, b) => Math.max(a, b), 0);
  const length = Math.min(most, Math.ceil(longest / STEP) * STEP);
  return { length, longest, cut: counts.filter((count) => count > length).length };
}

/** What to tell a user about prompts that are cut; undefined where none is. */
export function cutPromptsMessage({ length, longest, cut }: TextLength): string | undefined {
  if (cut === 0) return undefined;
  const which = cut === 1 ? 'A prompt is' : `${cut} prompts are`;
  return `${which} cut at ${length} text tokens; the longest has ${longest}`;
}

/** Throws a RangeError unless the model can read that many text tokens. */
export function checkTextLength(config: Pick<Showo2Config, 'maxTextLength'>, length: number): number {
  if (Number.isInteger(length) && length >= 0 && length <= config.maxTextLength) return length;
  throw new RangeError(
    `textLength must be a whole number from 0 to the model's limit of ${config.maxTextLength}, not ${length}`,
  );
}
