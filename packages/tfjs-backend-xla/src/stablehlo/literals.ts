import { type ElementType, isComplex, isFloat } from './types';

const view = new DataView(new ArrayBuffer(8));

const hex = (bits: number | bigint, digits: number): string =>
  `0x${bits.toString(16).toUpperCase().padStart(digits, '0')}`;

const float32Bits = (x: number): number => {
  view.setFloat32(0, x);
  return view.getUint32(0);
};

/** Nearest bfloat16, ties to even; NaN stays NaN. */
export function bfloat16Bits(x: number): number {
  const bits = float32Bits(x);
  if (Number.isNaN(x)) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Nearest IEEE half, ties to even, with subnormals; overflow becomes infinity. */
export function float16Bits(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(x);
  if (Number.isNaN(x)) return 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | roundHalfEven(magnitude * 2 ** 24);
  const exponent = Math.floor(Math.log2(magnitude));
  const e =
    magnitude < 2 ** exponent ? exponent - 1 : magnitude >= 2 ** (exponent + 1) ? exponent + 1 : exponent;
  return sign | (((e + 14) << 10) + roundHalfEven((magnitude / 2 ** e) * 1024));
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

function float64Hex(x: number): string {
  view.setFloat64(0, x);
  return hex(view.getBigUint64(0), 16);
}

/** As JavaScript's typed arrays take it: without its fraction, NaN and infinities as 0. */
const integerText = (x: number): string => (Number.isFinite(x) ? BigInt(Math.trunc(x)).toString() : '0');

/** One element of a `dense<…>` literal. Floats are written as their bits, so nothing is lost. */
export function elementText(value: number | bigint | boolean, dtype: ElementType): string {
  if (dtype === 'i1') return value ? 'true' : 'false';
  if (isComplex(dtype)) {
    const part = dtype === 'c64' ? 'f32' : 'f64';
    return `(${elementText(value, part)}, ${elementText(0, part)})`;
  }
  if (!isFloat(dtype)) return typeof value === 'bigint' ? value.toString() : integerText(Number(value));
  const x = Number(value);
  switch (dtype) {
    case 'bf16':
      return hex(bfloat16Bits(x), 4);
    case 'f16':
      return hex(float16Bits(x), 4);
    case 'f64':
      return float64Hex(x);
    default:
      return hex(float32Bits(x), 8);
  }
}

/** The body of `dense<…>` for row-major values of a shape. */
export function denseText(
  values: ArrayLike<number | bigint | boolean>,
  shape: readonly number[],
  dtype: ElementType,
): string {
  let at = 0;
  const nest = (axis: number): string => {
    if (axis === shape.length) return elementText(values[at++]!, dtype);
    const parts: string[] = [];
    for (let i = 0; i < shape[axis]!; i++) parts.push(nest(axis + 1));
    return `[${parts.join(', ')}]`;
  };
  return nest(0);
}

/** Integers and booleans of an attribute. */
export const i64Array = (values: readonly number[]): string =>
  values.length ? `array<i64: ${values.join(', ')}>` : 'array<i64>';

export const i64Matrix = (rows: readonly (readonly number[])[]): string =>
  rows.length
    ? `dense<[${rows.map((r) => `[${r.join(', ')}]`).join(', ')}]> : tensor<${rows.length}x${rows[0]!.length}xi64>`
    : 'dense<> : tensor<0x2xi64>';

export const boolArray = (values: readonly boolean[]): string =>
  values.length ? `array<i1: ${values.join(', ')}>` : 'array<i1>';
