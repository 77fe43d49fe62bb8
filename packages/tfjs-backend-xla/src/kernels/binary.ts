import type { Builder, Direction, Value } from '../stablehlo';
import { isFloat } from '../stablehlo';
import { kernel, type Lowering, listed, need } from './kernel';
import { broadcastShape, castTo, like, matched } from './values';

type Fn = (b: Builder, x: Value, y: Value) => Value;

const binary = (name: string, fn: Fn): Lowering =>
  kernel(name, (b, inputs) => fn(b, ...matched(b, need(inputs, 'a'), need(inputs, 'b'))));

/** Arithmetic: booleans count as 0 and 1 and stay booleans. */
const arithmetic = (name: string, fn: Fn): Lowering =>
  binary(name, (b, x, y) =>
    x.dtype === 'i1' ? castTo(b, fn(b, b.convert(x, 'i32'), b.convert(y, 'i32')), 'i1') : fn(b, x, y),
  );

const comparison = (name: string, direction: Direction): Lowering =>
  binary(name, (b, x, y) => b.compare(direction, x, y));

const logical = (name: string, fn: Fn): Lowering =>
  kernel(name, (b, inputs) => {
    const [x, y] = [castTo(b, need(inputs, 'a'), 'i1'), castTo(b, need(inputs, 'b'), 'i1')];
    const shape = broadcastShape(x.shape, y.shape);
    return fn(b, b.broadcastTo(x, shape), b.broadcastTo(y, shape));
  });

/** Integer division rounding down; by zero gives zero, as a typed array turns JavaScript's infinity. */
function integerFloorDiv(b: Builder, x: Value, y: Value): Value {
  const zero = like(b, x, 0);
  const isZero = b.compare('EQ', y, zero);
  const divisor = b.select(isZero, like(b, x, 1), y);
  const q = b.div(x, divisor);
  const rest = b.sub(x, b.mul(q, divisor));
  const inexact = b.compare('NE', rest, zero);
  const opposite = b.compare('LT', b.xor(rest, divisor), zero);
  return b.select(isZero, zero, b.sub(q, b.convert(b.and(inexact, opposite), x.dtype)));
}

/** The remainder with the divisor's sign. */
function mod(b: Builder, x: Value, y: Value): Value {
  const zero = like(b, x, 0);
  const divisor = isFloat(x.dtype) ? y : b.select(b.compare('EQ', y, zero), like(b, x, 1), y);
  const rest = b.binary('remainder', x, divisor);
  const differs = b.xor(b.compare('LT', rest, zero), b.compare('LT', divisor, zero));
  return b.select(b.and(differs, b.compare('NE', rest, zero)), b.add(rest, divisor), rest);
}

/** Integer powers by way of f32 would lose digits: XLA has them; negative exponents give 0 or ±1. */
const pow: Fn = (b, x, y) => b.binary('power', x, y);

function divide(b: Builder, x: Value, y: Value): Value {
  if (isFloat(x.dtype) || x.dtype === 'c64') return b.div(x, y);
  return castTo(b, b.div(b.convert(x, 'f32'), b.convert(y, 'f32')), x.dtype);
}

/** Kernels of two operands, broadcast together. */
export const binaryKernels: Lowering[] = [
  arithmetic('Add', (b, x, y) => b.add(x, y)),
  arithmetic('Sub', (b, x, y) => b.sub(x, y)),
  arithmetic('Multiply', (b, x, y) => b.mul(x, y)),
  binary('RealDiv', divide),
  arithmetic('FloorDiv', (b, x, y) =>
    isFloat(x.dtype) ? b.unary('floor', b.div(x, y)) : integerFloorDiv(b, x, y),
  ),
  arithmetic('Mod', mod),
  arithmetic('Pow', pow),
  arithmetic('Maximum', (b, x, y) => b.max(x, y)),
  arithmetic('Minimum', (b, x, y) => b.min(x, y)),
  arithmetic('SquaredDifference', (b, x, y) => {
    const d = b.sub(x, y);
    return b.mul(d, d);
  }),
  binary('Atan2', (b, x, y) =>
    isFloat(x.dtype) ? b.binary('atan2', x, y) : b.binary('atan2', b.convert(x, 'f32'), b.convert(y, 'f32')),
  ),
  binary('BitwiseAnd', (b, x, y) => b.and(x, y)),
  comparison('Equal', 'EQ'),
  comparison('NotEqual', 'NE'),
  comparison('Less', 'LT'),
  comparison('LessEqual', 'LE'),
  comparison('Greater', 'GT'),
  comparison('GreaterEqual', 'GE'),
  logical('LogicalAnd', (b, x, y) => b.and(x, y)),
  logical('LogicalOr', (b, x, y) => b.or(x, y)),
  logical('LogicalXor', (b, x, y) => b.xor(x, y)),
  kernel('Prelu', (b, inputs) => {
    const [x, alpha] = matched(b, need(inputs, 'x'), need(inputs, 'alpha'));
    return b.select(b.compare('LT', x, like(b, x, 0)), b.mul(alpha, x), x);
  }),
  kernel('AddN', (b, inputs) =>
    listed(inputs).reduce((sum, x) => {
      const [l, r] = matched(b, sum, x);
      return b.add(l, r);
    }),
  ),
  kernel('EluGrad', (b, inputs) => {
    const [dy, y] = matched(b, need(inputs, 'dy'), need(inputs, 'y'));
    return b.select(b.compare('GE', y, like(b, y, 0)), dy, b.mul(dy, b.add(y, like(b, y, 1))));
  }),
  kernel('Select', (b, inputs) => {
    const [t, e] = matched(b, need(inputs, 't'), need(inputs, 'e'));
    const condition = castTo(b, need(inputs, 'condition'), 'i1');
    // A vector condition picks whole rows.
    const shaped =
      condition.shape.length === 1 && t.shape.length > 1
        ? b.broadcastInDim(condition, t.shape, [0])
        : b.broadcastTo(condition, t.shape);
    return b.select(shaped, t, e);
  }),
];
