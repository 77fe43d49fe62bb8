/** GPT-2's expression, by which a byte-level pre-tokenizer splits unless it is told not to. */
const GPT2_SPLIT = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

interface Part {
  readonly type: string;
  readonly use_regex?: unknown;
  readonly add_prefix_space?: unknown;
  readonly pretokenizers?: readonly Part[];
}

/**
 * The pre-tokenizer of a tokenizer.json with the expression of its byte levels written out. The library reads expressions
 * of files as Rust does; its own one goes by JavaScript's white space, which has U+FEFF and lacks U+0085.
 */
export function spelledByteLevel(preTokenizer: unknown): object {
  const parts = partsOf(preTokenizer as Part);
  return parts.length === 1 ? parts[0]! : { type: 'Sequence', pretokenizers: parts };
}

function partsOf(part: Part): object[] {
  if (part.type === 'Sequence') return part.pretokenizers!.flatMap(partsOf);
  // A space put before the text comes before the split: left as it is.
  if (part.type !== 'ByteLevel' || part.use_regex === false || part.add_prefix_space === true) return [part];
  const split = { type: 'Split', pattern: { Regex: GPT2_SPLIT }, behavior: 'Isolated', invert: false };
  return [split, { ...part, use_regex: false }];
}
