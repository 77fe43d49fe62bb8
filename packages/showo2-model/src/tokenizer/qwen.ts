import {
  bytePairTokenizer,
  type TokenizerConfigJson,
  type TokenizerJson,
} from '@flow-grpo/checkpoint-io/tokenizer';
import { ADDED_TOKENS, structuralIds, type TextTokenizer } from './tokenizer';

/**
 * A Qwen2.5 tokenizer with Show-o2's added tokens. New ids follow the base vocabulary in upstream's order; a token the
 * file already holds keeps its id.
 *
 * @throws naming `source` and the field of a file that is no byte-level BPE tokenizer, or could take for ever
 */
export function qwenTokenizer(
  json: TokenizerJson,
  config: TokenizerConfigJson,
  source = 'tokenizer.json',
): TextTokenizer {
  const added = ADDED_TOKENS.map((content) => ({ content, special: content === '[PAD]' }));
  const { encode, decode, vocabSize, idOf, eos } = bytePairTokenizer(json, config, { added, source });
  return { encode, decode, vocabSize, tokens: structuralIds(idOf, eos) };
}
