/** How the next token is drawn from logits. */
export interface TokenSampling {
  /** Divides the logits; 1 by default. 0 takes the most likely token. */
  temperature?: number;
  /** Keeps the k most likely tokens; 1 is greedy. */
  topK?: number;
  /** Keeps the most likely tokens that together reach this probability (the one that crosses it included). */
  topP?: number;
}

/** Draws a token id: temperature, then top-k, then top-p, as upstream's loops. `uniform` is a number in [0, 1). */
export function chooseToken(logits: Float32Array, sampling: TokenSampling, uniform: number): number {
  const { temperature = 1, topK, topP } = sampling;
  if (!(temperature >= 0)) throw new Error(`temperature must be 0 or more, got ${temperature}.`);
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1)) {
    throw new Error(`topK must be a positive integer, got ${topK}.`);
  }
  if (topP !== undefined && !(topP > 0 && topP <= 1)) throw new Error(`topP must be in (0, 1], got ${topP}.`);
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  if (temperature === 0 || topK === 1) return best;

  const top = logits[best]!;
  const weightOf = (i: number) => Math.exp((logits[i]! - top) / temperature);
  let kept = topK === undefined || topK >= logits.length ? Array.from(logits.keys()) : largest(logits, topK);
  if (topP !== undefined && topP < 1) kept = nucleus(kept, weightOf, topP);
  const weights = Float64Array.from(kept, weightOf);
  let rest = uniform * weights.reduce((a, b) => a + b, 0);
  for (let i = 0; i < kept.length; i++) {
    rest -= weights[i]!;
    if (rest < 0) return kept[i]!;
  }
  return kept[kept.length - 1]!;
}

/** The indices of the `count` largest logits; of equal ones the first. */
function largest(logits: Float32Array, count: number): number[] {
  // Numbers sort much faster than indices by a comparison, and the vocabulary is long.
  const bound = logits.slice().sort()[logits.length - count]!;
  const above: number[] = [];
  const equal: number[] = [];
  logits.forEach((logit, i) => {
    if (logit > bound) above.push(i);
    else if (logit === bound) equal.push(i);
  });
  return [...above, ...equal.slice(0, count - above.length)];
}

/** The most likely tokens, in that order, up to the one with which their probability exceeds `share`. */
function nucleus(tokens: readonly number[], weightOf: (i: number) => number, share: number): number[] {
  const weights = Float64Array.from(tokens, weightOf);
  const total = weights.reduce((a, b) => a + b, 0);
  // Were one of these in it, all that follow would not make up the rest: most of the vocabulary needs no sorting.
  const least = ((1 - share) / tokens.length) * total;
  const likely = Array.from(tokens.keys()).filter((at) => weights[at]! >= least);
  likely.sort((a, b) => weights[b]! - weights[a]! || tokens[a]! - tokens[b]!);
  let sum = 0;
  const last = likely.findIndex((at) => {
    sum += weights[at]! / total;
    return sum > share;
  });
  return (last < 0 ? likely : likely.slice(0, last + 1)).map((at) => tokens[at]!);
}

/** A seeded stream of numbers in [0, 1) (mulberry32). */
export function uniformStream(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}
