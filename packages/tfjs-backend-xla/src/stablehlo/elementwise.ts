import { type Block, short } from './block';
import { describe, fail, requireSame } from './errors';
import { floatElements } from './flops';
import {
  byteSize,
  type ElementType,
  isComplex,
  isFloat,
  isInteger,
  isUnsigned,
  sameShape,
  typeText,
  type Value,
} from './types';

export type UnaryOp =
  | 'abs'
  | 'cbrt'
  | 'ceil'
  | 'cosine'
  | 'count_leading_zeros'
  | 'exponential'
  | 'exponential_minus_one'
  | 'floor'
  | 'log'
  | 'log_plus_one'
  | 'logistic'
  | 'negate'
  | 'not'
  | 'popcnt'
  | 'round_nearest_afz'
  | 'round_nearest_even'
  | 'rsqrt'
  | 'sign'
  | 'sine'
  | 'sqrt'
  | 'tan'
  | 'tanh';

export type BinaryOp =
  | 'add'
  | 'and'
  | 'atan2'
  | 'divide'
  | 'maximum'
  | 'minimum'
  | 'multiply'
  | 'or'
  | 'power'
  | 'remainder'
  | 'shift_left'
  | 'shift_right_arithmetic'
  | 'shift_right_logical'
  | 'subtract'
  | 'xor';

export type Direction = 'EQ' | 'NE' | 'LT' | 'LE' | 'GT' | 'GE';

const BITWISE = new Set(['and', 'or', 'xor', 'not']);
const FLOAT_ONLY = new Set([
  'cbrt',
  'ceil',
  'cosine',
  'exponential',
  'exponential_minus_one',
  'floor',
  'log',
  'log_plus_one',
  'logistic',
  'round_nearest_afz',
  'round_nearest_even',
  'rsqrt',
  'sine',
  'sqrt',
  'tan',
  'tanh',
  'atan2',
]);

/** An op of one operand that acts on each element by itself. */
export function unary(b: Block, op: UnaryOp, x: Value): Value {
  if (FLOAT_ONLY.has(op) && !isFloat(x.dtype) && !isComplex(x.dtype))
    fail(op, `needs a floating-point operand, got ${describe(x)}`);
  if (BITWISE.has(op) && x.dtype !== 'i1' && !isInteger(x.dtype))
    fail(op, `needs a boolean or integer operand, got ${describe(x)}`);
  if (op === 'abs' && isComplex(x.dtype)) return converted(b, op, x, partOf(x.dtype), floatElements(x));
  return short(b, op, [x], ` : ${typeText(x)}`, x, floatElements(x));
}

/** An op of two operands of one shape and type. */
export function binary(b: Block, op: BinaryOp, x: Value, y: Value): Value {
  requireSame(op, x, y);
  if (FLOAT_ONLY.has(op) && !isFloat(x.dtype) && !isComplex(x.dtype))
    fail(op, `needs floating-point operands, got ${describe(x)}`);
  if (BITWISE.has(op) && x.dtype !== 'i1' && !isInteger(x.dtype))
    fail(op, `needs boolean or integer operands, got ${describe(x)}`);
  return short(b, op, [x, y], ` : ${typeText(x)}`, x, floatElements(x));
}

export const add = (b: Block, x: Value, y: Value): Value => binary(b, 'add', x, y);
export const sub = (b: Block, x: Value, y: Value): Value => binary(b, 'subtract', x, y);
export const mul = (b: Block, x: Value, y: Value): Value => binary(b, 'multiply', x, y);
export const div = (b: Block, x: Value, y: Value): Value => binary(b, 'divide', x, y);
export const max = (b: Block, x: Value, y: Value): Value => binary(b, 'maximum', x, y);
export const min = (b: Block, x: Value, y: Value): Value => binary(b, 'minimum', x, y);
export const and = (b: Block, x: Value, y: Value): Value => binary(b, 'and', x, y);
export const or = (b: Block, x: Value, y: Value): Value => binary(b, 'or', x, y);
export const xor = (b: Block, x: Value, y: Value): Value => binary(b, 'xor', x, y);
export const not = (b: Block, x: Value): Value => unary(b, 'not', x);
export const neg = (b: Block, x: Value): Value => unary(b, 'negate', x);
export const exp = (b: Block, x: Value): Value => unary(b, 'exponential', x);
export const log = (b: Block, x: Value): Value => unary(b, 'log', x);

/** Elementwise comparison; the result is i1. Floats compare as IEEE does: NaN only satisfies NE. */
export function compare(b: Block, direction: Direction, x: Value, y: Value): Value {
  requireSame('compare', x, y);
  const type = { shape: x.shape, dtype: 'i1' } as const;
  const rest = `, ${comparison(x.dtype)} : (${typeText(x)}, ${typeText(y)}) -> ${typeText(type)}`;
  return short(b, `compare ${direction},`, [x, y], rest, type);
}

function comparison(dtype: ElementType): 'FLOAT' | 'UNSIGNED' | 'SIGNED' {
  if (isFloat(dtype) || isComplex(dtype)) return 'FLOAT';
  return dtype === 'i1' || isUnsigned(dtype) ? 'UNSIGNED' : 'SIGNED';
}

/** `condition ? onTrue : onFalse`; the condition is an i1 of the same shape or a scalar. */
export function select(b: Block, condition: Value, onTrue: Value, onFalse: Value): Value {
  requireSame('select', onTrue, onFalse);
  if (condition.dtype !== 'i1') fail('select', `the condition must be i1, got ${describe(condition)}`);
  if (condition.shape.length > 0 && !sameShape(condition.shape, onTrue.shape))
    fail('select', `condition ${describe(condition)} does not fit ${describe(onTrue)}`);
  const rest = ` : ${typeText(condition)}, ${typeText(onTrue)}`;
  return short(b, 'select', [condition, onTrue, onFalse], rest, onTrue);
}

/** Limits x to [low, high]; the limits are scalars or of x's shape. */
export function clamp(b: Block, low: Value, x: Value, high: Value): Value {
  for (const limit of [low, high])
    if (limit.dtype !== x.dtype || (limit.shape.length > 0 && !sameShape(limit.shape, x.shape)))
      fail('clamp', `limit ${describe(limit)} does not fit ${describe(x)}`);
  const rest = ` : (${typeText(low)}, ${typeText(x)}, ${typeText(high)}) -> ${typeText(x)}`;
  return short(b, 'clamp', [low, x, high], rest, x);
}

export function finite(b: Block, x: Value): Value {
  if (!isFloat(x.dtype)) fail('is_finite', `needs a floating-point operand, got ${describe(x)}`);
  return converted(b, 'is_finite', x, 'i1');
}

/** Converts values; the same type gives x back. To i1: whether it is not zero. */
export function convert(b: Block, x: Value, dtype: ElementType): Value {
  return x.dtype === dtype ? x : converted(b, 'convert', x, dtype);
}

/** The same bits as another type of the same width. */
export function bitcast(b: Block, x: Value, dtype: ElementType): Value {
  if (x.dtype === dtype) return x;
  if (byteSize(x.dtype) !== byteSize(dtype))
    fail('bitcast_convert', `${x.dtype} and ${dtype} differ in width`);
  return converted(b, 'bitcast_convert', x, dtype);
}

export function complex(b: Block, real: Value, imaginary: Value): Value {
  requireSame('complex', real, imaginary);
  const type = { shape: real.shape, dtype: real.dtype === 'f64' ? 'c128' : 'c64' } as const;
  const rest = ` : (${typeText(real)}, ${typeText(imaginary)}) -> ${typeText(type)}`;
  return short(b, 'complex', [real, imaginary], rest, type);
}

export const real = (b: Block, x: Value): Value => part(b, 'real', x);
export const imag = (b: Block, x: Value): Value => part(b, 'imag', x);

function part(b: Block, op: 'real' | 'imag', x: Value): Value {
  if (!isComplex(x.dtype)) fail(op, `needs a complex operand, got ${describe(x)}`);
  return converted(b, op, x, partOf(x.dtype));
}

/** The type of a complex number's parts. */
const partOf = (dtype: ElementType): ElementType => (dtype === 'c64' ? 'f32' : 'f64');

/** An op of one operand whose result has another type. */
function converted(b: Block, op: string, x: Value, dtype: ElementType, flops = 0): Value {
  const type = { shape: x.shape, dtype };
  return short(b, op, [x], ` : (${typeText(x)}) -> ${typeText(type)}`, type, flops);
}
