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

  const order = Array.from(logits, (_, i) => i).sort((a, b) => logits[b]! - logits[a]! || a - b);
  const kept = topK === undefined ? order : order.slice(0, topK);
  const top = logits[best]!;
  const weights = kept.map((i) => Math.exp((logits[i]! - top) / temperature));
  const total = weights.reduce((a, b) => a + b, 0);
  let count = kept.length;
  if (topP !== undefined) {
    let sum = 0;
    count = weights.findIndex((weight) => {
      sum += weight / total;
      return sum > topP;
    });
    count = count < 0 ? kept.length : count + 1;
  }
  let rest = uniform * weights.slice(0, count).reduce((a, b) => a + b, 0);
  for (let i = 0; i < count; i++) {
    rest -= weights[i]!;
    if (rest < 0) return kept[i]!;
  }
  return kept[count - 1]!;
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
