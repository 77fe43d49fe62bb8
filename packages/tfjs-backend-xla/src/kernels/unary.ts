import { type Block, hlo, isFloat, type UnaryOp, type Value } from '../stablehlo';
import { type Attrs, attrsOf, kernelInPlace, type Lowering, need } from './kernel';
import { castTo, elementTypeOf, floating, inFloat32, like } from './values';

type Fn = (b: Block, x: Value, attrs: Attrs) => Value;

const unary = (name: string, fn: Fn): Lowering =>
  kernelInPlace(name, (b, inputs, attrs) => fn(b, need(inputs, 'x'), attrs));

/** A function of real numbers; integers and booleans are taken as floats. */
const real = (name: string, fn: Fn): Lowering =>
  unary(name, (b, x, attrs) => inFloat32(b, floating(b, x), (y) => fn(b, y, attrs)));

const direct = (name: string, op: UnaryOp): Lowering => real(name, (b, x) => hlo.unary(b, op, x));

/** A function that leaves integers as they are. */
const rounding = (name: string, op: UnaryOp): Lowering =>
  unary(name, (b, x) => (isFloat(x.dtype) ? hlo.unary(b, op, x) : x));

const SELU_ALPHA = 1.7580993408473768;
const SELU_SCALE = 1.0507009873554805;

/** log(1 + eˣ) without overflow. */
export function softplus(b: Block, x: Value): Value {
  const tail = hlo.unary(b, 'log_plus_one', hlo.exp(b, hlo.neg(b, hlo.unary(b, 'abs', x))));
  return hlo.add(b, hlo.max(b, x, like(b, x, 0)), tail);
}

/** x where positive, eˣ − 1 elsewhere. */
export function elu(b: Block, x: Value): Value {
  const zero = like(b, x, 0);
  return hlo.select(b, hlo.compare(b, 'GE', x, zero), x, hlo.unary(b, 'exponential_minus_one', x));
}

export function leakyRelu(b: Block, x: Value, alpha: number): Value {
  return hlo.select(b, hlo.compare(b, 'LT', x, like(b, x, 0)), hlo.mul(b, like(b, x, alpha), x), x);
}

export const relu = (b: Block, x: Value): Value => hlo.max(b, x, like(b, x, 0));
export const relu6 = (b: Block, x: Value): Value => hlo.min(b, relu(b, x), like(b, x, 6));

/** The error function, as one op that XLA expands to a rational approximation of float accuracy. */
export const erf = (b: Block, x: Value): Value => hlo.chlo(b, 'erf', [x], [x])[0]!;

const chlo = (name: string, op: string): Lowering => real(name, (b, x) => hlo.chlo(b, op, [x], [x])[0]!);

function sign(b: Block, x: Value): Value {
  if (x.dtype === 'i1') return x;
  if (!isFloat(x.dtype)) return hlo.unary(b, 'sign', x);
  const zero = like(b, x, 0);
  const s = hlo.unary(b, 'sign', x);
  // tfjs gives 0 for NaN.
  return hlo.select(b, hlo.compare(b, 'EQ', x, x), s, zero);
}

function step(b: Block, x: Value, alpha: number): Value {
  if (!isFloat(x.dtype)) {
    const y = hlo.convert(b, x, 'f32');
    return castTo(b, step(b, y, alpha), x.dtype);
  }
  const y = hlo.select(b, hlo.compare(b, 'GT', x, like(b, x, 0)), like(b, x, 1), like(b, x, alpha));
  return hlo.select(b, hlo.compare(b, 'EQ', x, x), y, x);
}

const test = (name: string, onFloat: (b: Block, x: Value) => Value, otherwise: boolean): Lowering =>
  unary(name, (b, x) => (isFloat(x.dtype) ? onFloat(b, x) : hlo.full(b, x.shape, otherwise, 'i1')));

/** Kernels of one operand that act on each element. */
export const unaryKernels: Lowering[] = [
  unary('Abs', (b, x) => (x.dtype === 'i1' ? x : hlo.unary(b, 'abs', x))),
  chlo('Acos', 'acos'),
  chlo('Acosh', 'acosh'),
  chlo('Asin', 'asin'),
  chlo('Asinh', 'asinh'),
  chlo('Atan', 'atan'),
  chlo('Atanh', 'atanh'),
  chlo('Cosh', 'cosh'),
  chlo('Sinh', 'sinh'),
  real('Erf', erf),
  rounding('Ceil', 'ceil'),
  rounding('Floor', 'floor'),
  rounding('Round', 'round_nearest_even'),
  direct('Cos', 'cosine'),
  direct('Sin', 'sine'),
  direct('Tan', 'tan'),
  direct('Exp', 'exponential'),
  direct('Expm1', 'exponential_minus_one'),
  direct('Log', 'log'),
  direct('Log1p', 'log_plus_one'),
  direct('Rsqrt', 'rsqrt'),
  direct('Sqrt', 'sqrt'),
  direct('Sigmoid', 'logistic'),
  direct('Tanh', 'tanh'),
  real('Softplus', softplus),
  real('Elu', elu),
  real('Selu', (b, x) => {
    const low = hlo.mul(b, like(b, x, SELU_ALPHA), hlo.unary(b, 'exponential_minus_one', x));
    return hlo.select(b, hlo.compare(b, 'GE', x, like(b, x, 0)), hlo.mul(b, like(b, x, SELU_SCALE), x), low);
  }),
  unary('Relu', (b, x) => (x.dtype === 'i1' ? x : relu(b, x))),
  unary('Relu6', (b, x) => (x.dtype === 'i1' ? x : relu6(b, x))),
  real('LeakyRelu', (b, x, attrs) => leakyRelu(b, x, attrsOf<{ alpha: number }>(attrs).alpha)),
  unary('Neg', (b, x) => hlo.neg(b, x.dtype === 'i1' ? hlo.convert(b, x, 'i32') : x)),
  real('Reciprocal', (b, x) => hlo.div(b, like(b, x, 1), x)),
  unary('Square', (b, x) => (x.dtype === 'i1' ? x : hlo.mul(b, x, x))),
  unary('Sign', sign),
  unary('Step', (b, x, attrs) => step(b, x, attrsOf<{ alpha?: number }>(attrs).alpha ?? 0)),
  test('IsFinite', (b, x) => hlo.isFinite(b, x), true),
  test(
    'IsInf',
    (b, x) => hlo.compare(b, 'EQ', hlo.unary(b, 'abs', x), like(b, x, Number.POSITIVE_INFINITY)),
    false,
  ),
  test('IsNan', (b, x) => hlo.compare(b, 'NE', x, x), false),
  unary('LogicalNot', (b, x) => hlo.not(b, castTo(b, x, 'i1'))),
  unary('ClipByValue', (b, x, attrs) => {
    const { clipValueMin, clipValueMax } = attrsOf<{ clipValueMin: number; clipValueMax: number }>(attrs);
    return hlo.clamp(b, hlo.scalar(b, clipValueMin, x.dtype), x, hlo.scalar(b, clipValueMax, x.dtype));
  }),
  unary('Cast', (b, x, attrs) => {
    const { dtype } = attrsOf<{ dtype: string }>(attrs);
    // float32 names every float: a tensor held in bf16 or f16 stays so.
    return dtype === 'float32' && isFloat(x.dtype) ? x : castTo(b, x, elementTypeOf(dtype));
  }),
  unary('Identity', (_, x) => x),
  unary('ZerosLike', (b, x) => like(b, x, 0)),
  unary('OnesLike', (b, x) => (x.dtype === 'i1' ? hlo.full(b, x.shape, true, 'i1') : like(b, x, 1))),
];
