/** Host randomness as a function of an address, so that a resumed run draws what the first one would have. */

/** Uniform numbers in [0, 1) for (seed, stream, index …); SplitMix64's finaliser over a 32-bit pair. */
export function randomAt(...address: number[]): () => number {
  let state = 0x9e3779b9;
  for (const part of address) state = mix(Math.imul(state ^ part, 0x85ebca6b) + mix(part + 0x6d2b79f5));
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    return mix(state) / 2 ** 32;
  };
}

/** The first `count` entries of a random permutation of 0 … n − 1. */
export function drawWithoutReplacement(random: () => number, n: number, count: number): number[] {
  const moved = new Map<number, number>();
  return Array.from({ length: count }, (_, i) => {
    const j = i + Math.floor(random() * (n - i));
    const value = moved.get(j) ?? j;
    moved.set(j, moved.get(i) ?? i);
    return value;
  });
}

/** The items in random order. */
export function shuffled<T>(random: () => number, items: readonly T[]): T[] {
  return drawWithoutReplacement(random, items.length, items.length).map((i) => items[i]!);
}

/** Murmur3's finaliser: close inputs give unrelated outputs. */
function mix(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
