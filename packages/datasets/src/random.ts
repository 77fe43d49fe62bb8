/** Uniform numbers in [0, 1) from a small seeded state; not for cryptography. */
export type Random = () => number;

/** Mixes the bits of a 32-bit word so that close inputs give unrelated outputs (MurmurHash3's finaliser). */
export function mixBits(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** FNV-1a over UTF-16 code units, then mixed: a stable 32-bit hash of a string. */
export function hashString(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return mixBits(h);
}

/**
 * A generator addressed by several integers, so that the stream of (seed, index) does not depend on what was
 * drawn before. Integers up to 2⁵³ count in full. State update: sfc32 (Doty-Humphrey's PractRand).
 */
export function randomAt(...address: number[]): Random {
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  let c = 0xb7e15162;
  for (const part of address) {
    a = mixBits(a ^ (part >>> 0));
    b = mixBits((b + Math.floor(part / 2 ** 32) + a) | 0);
    c = mixBits(c ^ b);
  }
  let counter = 1;
  const next = () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    c |= 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 8; i++) next();
  return next;
}

/** An integer in [0, bound). */
export const below = (random: Random, bound: number): number => Math.floor(random() * bound);

/** One item, each equally likely. */
export const pick = <T>(random: Random, items: readonly T[]): T => items[below(random, items.length)]!;

/** The index of one weight, drawn in proportion to them. */
export function pickWeighted(random: Random, weights: readonly number[]): number {
  let at = random() * weights.reduce((sum, weight) => sum + weight, 0);
  for (let i = 0; i < weights.length; i++) {
    at -= weights[i]!;
    if (at < 0) return i;
  }
  return weights.findLastIndex((weight) => weight > 0); // rounding left nothing over
}

/** Shuffles in place (Fisher and Yates) and returns the array. */
export function shuffle<T>(random: Random, items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = below(random, i + 1);
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
  return items;
}
