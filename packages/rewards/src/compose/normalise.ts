/** Brings the scores of one batch to another scale, one number for each; NaN stays NaN. */
export type Normalise = (scores: readonly number[]) => number[];

/** `score * scale + offset`. */
export function affineScale(scale: number, offset = 0): Normalise {
  return (scores) => scores.map((score) => score * scale + offset);
}

/** Brings [from, to] to [0, 1] and clips what lies outside; `from` above `to` turns the scale around. */
export function unitRange(from: number, to: number): Normalise {
  if (!Number.isFinite(to - from) || from === to) {
    throw new RangeError(`unitRange: needs two different finite numbers, not ${from} and ${to}`);
  }
  return (scores) => scores.map((score) => Math.min(1, Math.max(0, (score - from) / (to - from))));
}

/** Mean 0 and standard deviation 1 within the batch; a batch of equal scores becomes zeros. */
export function standardise(): Normalise {
  return (scores) => {
    const valid = scores.filter((score) => !Number.isNaN(score));
    const mean = valid.reduce((sum, score) => sum + score, 0) / valid.length;
    const variance = valid.reduce((sum, score) => sum + (score - mean) ** 2, 0) / valid.length;
    // The mean of equal scores can differ from them by rounding, which is no deviation.
    const differ = valid.some((score) => score !== valid[0]) && variance > 0;
    return scores.map((score) => (differ || Number.isNaN(score) ? (score - mean) / Math.sqrt(variance) : 0));
  };
}

/** Rank within the batch, 0 for the lowest to 1 for the highest; equal scores share their mean rank. */
export function byRank(): Normalise {
  return (scores) => {
    const valid = scores.filter((score) => !Number.isNaN(score));
    return scores.map((score) => {
      if (Number.isNaN(score)) return score;
      const below = valid.filter((other) => other < score).length;
      const equal = valid.filter((other) => other === score).length;
      return valid.length > 1 ? (below + (equal - 1) / 2) / (valid.length - 1) : 0.5;
    });
  };
}
