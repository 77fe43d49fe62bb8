import { type NamePattern, type Params, selectNames } from '@flow-grpo/nn';
import { LM_HEAD } from './trunk/trunk';

/** What trains unless told otherwise: the diffusion head. */
export const DEFAULT_TRAINABLE: readonly NamePattern[] = ['diffusion'];

/**
 * Names of the parameters that train. The vocabulary projection is left out where it is the embedding's table under a
 * second name; it follows the embedding.
 */
export function trainableNames(
  params: Params,
  patterns: readonly NamePattern[] = DEFAULT_TRAINABLE,
  { tieWordEmbeddings = true }: { tieWordEmbeddings?: boolean } = {},
): string[] {
  const names = Object.keys(params).filter((name) => !(tieWordEmbeddings && name === LM_HEAD));
  return selectNames(names, patterns);
}
