import { BlockBuilder, describe, fail } from './core';
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

/** Ops that act on each element by itself. */
export class ElementwiseBuilder extends BlockBuilder {
  unary(op: UnaryOp, x: Value): Value {
    if (FLOAT_ONLY.has(op) && !isFloat(x.dtype) && !isComplex(x.dtype))
      fail(op, `needs a floating-point operand, got ${describe(x)}`);
    if (BITWISE.has(op) && x.dtype !== 'i1' && !isInteger(x.dtype))
      fail(op, `needs a boolean or integer operand, got ${describe(x)}`);
    if (op === 'abs' && isComplex(x.dtype)) {
      const type = { shape: x.shape, dtype: x.dtype === 'c64' ? 'f32' : 'f64' } as const;
      return this.short(`abs ${x.id} : (${typeText(x)}) -> ${typeText(type)}`, type, floatElements(x));
    }
    return this.short(`${op} ${x.id} : ${typeText(x)}`, x, floatElements(x));
  }

  binary(op: BinaryOp, a: Value, b: Value): Value {
    this.requireSame(op, a, b);
    if (FLOAT_ONLY.has(op) && !isFloat(a.dtype) && !isComplex(a.dtype))
      fail(op, `needs floating-point operands, got ${describe(a)}`);
    if (BITWISE.has(op) && a.dtype !== 'i1' && !isInteger(a.dtype))
      fail(op, `needs boolean or integer operands, got ${describe(a)}`);
    return this.short(`${op} ${a.id}, ${b.id} : ${typeText(a)}`, a, floatElements(a));
  }

  add(a: Value, b: Value): Value {
    return this.binary('add', a, b);
  }
  sub(a: Value, b: Value): Value {
    return this.binary('subtract', a, b);
  }
  mul(a: Value, b: Value): Value {
    return this.binary('multiply', a, b);
  }
  div(a: Value, b: Value): Value {
    return this.binary('divide', a, b);
  }
  max(a: Value, b: Value): Value {
    return this.binary('maximum', a, b);
  }
  min(a: Value, b: Value): Value {
    return this.binary('minimum', a, b);
  }
  and(a: Value, b: Value): Value {
    return this.binary('and', a, b);
  }
  or(a: Value, b: Value): Value {
    return this.binary('or', a, b);
  }
  xor(a: Value, b: Value): Value {
    return this.binary('xor', a, b);
  }
  not(x: Value): Value {
    return this.unary('not', x);
  }
  neg(x: Value): Value {
    return this.unary('negate', x);
  }
  exp(x: Value): Value {
    return this.unary('exponential', x);
  }
  log(x: Value): Value {
    return this.unary('log', x);
  }

  /** Elementwise comparison; the result is i1. Floats compare as IEEE does: NaN only satisfies NE. */
  compare(direction: Direction, a: Value, b: Value): Value {
    this.requireSame('compare', a, b);
    const kind =
      isFloat(a.dtype) || isComplex(a.dtype)
        ? 'FLOAT'
        : a.dtype === 'i1' || isUnsigned(a.dtype)
          ? 'UNSIGNED'
          : 'SIGNED';
    const type = { shape: a.shape, dtype: 'i1' } as const;
    return this.short(
      `compare ${direction}, ${a.id}, ${b.id}, ${kind} : (${typeText(a)}, ${typeText(b)}) -> ${typeText(type)}`,
      type,
    );
  }

  /** `condition ? onTrue : onFalse`; the condition is an i1 of the same shape or a scalar. */
  select(condition: Value, onTrue: Value, onFalse: Value): Value {
    this.requireSame('select', onTrue, onFalse);
    if (condition.dtype !== 'i1') fail('select', `the condition must be i1, got ${describe(condition)}`);
    if (condition.shape.length > 0 && !sameShape(condition.shape, onTrue.shape))
      fail('select', `condition ${describe(condition)} does not fit ${describe(onTrue)}`);
    return this.short(
      `select ${condition.id}, ${onTrue.id}, ${onFalse.id} : ${typeText(condition)}, ${typeText(onTrue)}`,
      onTrue,
    );
  }

  /** Limits x to [low, high]; the limits are scalars or of x's shape. */
  clamp(low: Value, x: Value, high: Value): Value {
    for (const limit of [low, high])
      if (limit.dtype !== x.dtype || (limit.shape.length > 0 && !sameShape(limit.shape, x.shape)))
        fail('clamp', `limit ${describe(limit)} does not fit ${describe(x)}`);
    return this.short(
      `clamp ${low.id}, ${x.id}, ${high.id} : (${typeText(low)}, ${typeText(x)}, ${typeText(high)}) -> ${typeText(x)}`,
      x,
    );
  }

  isFinite(x: Value): Value {
    if (!isFloat(x.dtype)) fail('is_finite', `needs a floating-point operand, got ${describe(x)}`);
    const type = { shape: x.shape, dtype: 'i1' } as const;
    return this.short(`is_finite ${x.id} : (${typeText(x)}) -> ${typeText(type)}`, type);
  }

  /** Converts values; the same type gives x back. To i1: whether it is not zero. */
  convert(x: Value, dtype: ElementType): Value {
    if (x.dtype === dtype) return x;
    const type = { shape: x.shape, dtype };
    return this.short(`convert ${x.id} : (${typeText(x)}) -> ${typeText(type)}`, type);
  }

  /** The same bits as another type of the same width. */
  bitcast(x: Value, dtype: ElementType): Value {
    if (x.dtype === dtype) return x;
    if (byteSize(x.dtype) !== byteSize(dtype))
      fail('bitcast_convert', `${x.dtype} and ${dtype} differ in width`);
    const type = { shape: x.shape, dtype };
    return this.short(`bitcast_convert ${x.id} : (${typeText(x)}) -> ${typeText(type)}`, type);
  }

  /** Rounds a float to fewer bits without changing its type. */
  reducePrecision(x: Value, exponentBits: number, mantissaBits: number): Value {
    return this.short(
      `reduce_precision ${x.id}, format = e${exponentBits}m${mantissaBits} : ${typeText(x)}`,
      x,
    );
  }

  complex(real: Value, imaginary: Value): Value {
    this.requireSame('complex', real, imaginary);
    const type = { shape: real.shape, dtype: real.dtype === 'f64' ? 'c128' : 'c64' } as const;
    return this.short(
      `complex ${real.id}, ${imaginary.id} : (${typeText(real)}, ${typeText(imaginary)}) -> ${typeText(type)}`,
      type,
    );
  }

  private part(op: 'real' | 'imag', x: Value): Value {
    if (!isComplex(x.dtype)) fail(op, `needs a complex operand, got ${describe(x)}`);
    const type = { shape: x.shape, dtype: x.dtype === 'c64' ? 'f32' : 'f64' } as const;
    return this.short(`${op} ${x.id} : (${typeText(x)}) -> ${typeText(type)}`, type);
  }
  real(x: Value): Value {
    return this.part('real', x);
  }
  imag(x: Value): Value {
    return this.part('imag', x);
  }
}
