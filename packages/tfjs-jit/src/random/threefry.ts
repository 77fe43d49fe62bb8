/** Threefry-2x32, the counter-based generator of Salmon et al. 2011, on the host. */

export type Key = readonly [number, number];

export const ROTATIONS = [
  [13, 15, 26, 6],
  [17, 29, 16, 24],
] as const;

/** Added to the key words to make the third one (the "Skein" parity constant). */
export const PARITY = 0x1bd11bda;

/** The 20 rounds on the counter words (x0, x1); all words are int32. */
export function threefry2x32(key: Key, x0: number, x1: number): [number, number] {
  const keys = [key[0] | 0, key[1] | 0, key[0] ^ key[1] ^ PARITY];
  let a = (x0 + keys[0]!) | 0;
  let b = (x1 + keys[1]!) | 0;
  for (let group = 0; group < 5; group++) {
    for (const rotation of ROTATIONS[group & 1]!) {
      a = (a + b) | 0;
      b = (b << rotation) | (b >>> (32 - rotation));
      b ^= a;
    }
    a = (a + keys[(group + 1) % 3]!) | 0;
    b = (b + keys[(group + 2) % 3]! + group + 1) | 0;
  }
  return [a, b];
}

/** 32 random bits per element; element i depends on the key and i only, whatever the count. */
export function randomBits(key: Key, count: number): Int32Array {
  const bits = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const [a, b] = threefry2x32(key, Math.floor(i / 2 ** 32), i);
    bits[i] = a ^ b;
  }
  return bits;
}

/** Uniform in [0, 1): the upper 23 bits as the fraction of a float in [1, 2), less 1. */
export function uniformFromBits(bits: Int32Array): Float32Array {
  return Float32Array.from(bits, (b) => (b >>> 9) * 2 ** -23);
}

/** Smallest float32 above −1. */
export const NORMAL_LOW = Math.fround(-1 + 2 ** -24);

/** Standard normal: sqrt(2)·erf⁻¹(u) of u uniform in (−1, 1). */
export function normalFromBits(bits: Int32Array): Float32Array {
  const normal = new Float32Array(bits.length);
  const span = Math.fround(1 - NORMAL_LOW);
  for (let i = 0; i < bits.length; i++) {
    const u = Math.fround(Math.fround((bits[i]! >>> 9) * 2 ** -23 * span) + NORMAL_LOW);
    normal[i] = Math.SQRT2 * inverseErf(Math.max(u, NORMAL_LOW));
  }
  return normal;
}

/** Coefficients of Giles, "Approximating the erfinv function" (2010), single precision. */
export const ERF_INV_CENTRAL = [
  2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087, -0.00125372503, -0.00417768164,
  0.246640727, 1.50140941,
] as const;
export const ERF_INV_TAIL = [
  -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
  1.00167406, 2.83297682,
] as const;

function inverseErf(x: number): number {
  let w = -Math.log1p(-x * x);
  const central = w < 5;
  w = central ? w - 2.5 : Math.sqrt(w) - 3;
  let p = 0;
  for (const coefficient of central ? ERF_INV_CENTRAL : ERF_INV_TAIL) p = coefficient + p * w;
  return p * x;
}
