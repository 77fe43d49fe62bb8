import { type Block, type Direction, hlo, isFloat, type Value } from '../stablehlo';
import { kernel, type Lowering, listed, need } from './kernel';
import { broadcastShape, castTo, like, matched } from './values';

type Fn = (b: Block, x: Value, y: Value) => Value;

const binary = (name: string, fn: Fn): Lowering =>
  kernel(name, (b, inputs) => fn(b, ...matched(b, need(inputs, 'a'), need(inputs, 'b'))));

/** Arithmetic: booleans count as 0 and 1 and stay booleans. */
const arithmetic = (name: string, fn: Fn): Lowering =>
  binary(name, (b, x, y) =>
    x.dtype === 'i1'
      ? castTo(b, fn(b, hlo.convert(b, x, 'i32'), hlo.convert(b, y, 'i32')), 'i1')
      : fn(b, x, y),
  );

const comparison = (name: string, direction: Direction): Lowering =>
  binary(name, (b, x, y) => hlo.compare(b, direction, x, y));

const logical = (name: string, fn: Fn): Lowering =>
  kernel(name, (b, inputs) => {
    const [x, y] = [castTo(b, need(inputs, 'a'), 'i1'), castTo(b, need(inputs, 'b'), 'i1')];
    const shape = broadcastShape(x.shape, y.shape);
    return fn(b, hlo.broadcastTo(b, x, shape), hlo.broadcastTo(b, y, shape));
  });

/** Integer division rounding down; by zero gives zero, as a typed array turns JavaScript's infinity. */
function integerFloorDiv(b: Block, x: Value, y: Value): Value {
  const zero = like(b, x, 0);
  const isZero = hlo.compare(b, 'EQ', y, zero);
  const divisor = hlo.select(b, isZero, like(b, x, 1), y);
  const q = hlo.div(b, x, divisor);
  const rest = hlo.sub(b, x, hlo.mul(b, q, divisor));
  const inexact = hlo.compare(b, 'NE', rest, zero);
  const opposite = hlo.compare(b, 'LT', hlo.xor(b, rest, divisor), zero);
  return hlo.select(b, isZero, zero, hlo.sub(b, q, hlo.convert(b, hlo.and(b, inexact, opposite), x.dtype)));
}

/** The remainder with the divisor's sign. */
function mod(b: Block, x: Value, y: Value): Value {
  const zero = like(b, x, 0);
  const divisor = isFloat(x.dtype) ? y : hlo.select(b, hlo.compare(b, 'EQ', y, zero), like(b, x, 1), y);
  const rest = hlo.binary(b, 'remainder', x, divisor);
  const differs = hlo.xor(b, hlo.compare(b, 'LT', rest, zero), hlo.compare(b, 'LT', divisor, zero));
  return hlo.select(
    b,
    hlo.and(b, differs, hlo.compare(b, 'NE', rest, zero)),
    hlo.add(b, rest, divisor),
    rest,
  );
}

/** Integer powers by way of f32 would lose digits: XLA has them; negative exponents give 0 or ±1. */
const pow: Fn = (b, x, y) => hlo.binary(b, 'power', x, y);

function divide(b: Block, x: Value, y: Value): Value {
  if (isFloat(x.dtype) || x.dtype === 'c64') return hlo.div(b, x, y);
  return castTo(b, hlo.div(b, hlo.convert(b, x, 'f32'), hlo.convert(b, y, 'f32')), x.dtype);
}

/** Kernels of two operands, broadcast together. */
export const binaryKernels: Lowering[] = [
  arithmetic('Add', (b, x, y) => hlo.add(b, x, y)),
  arithmetic('Sub', (b, x, y) => hlo.sub(b, x, y)),
  arithmetic('Multiply', (b, x, y) => hlo.mul(b, x, y)),
  binary('RealDiv', divide),
  arithmetic('FloorDiv', (b, x, y) =>
    isFloat(x.dtype) ? hlo.unary(b, 'floor', hlo.div(b, x, y)) : integerFloorDiv(b, x, y),
  ),
  arithmetic('Mod', mod),
  arithmetic('Pow', pow),
  arithmetic('Maximum', (b, x, y) => hlo.max(b, x, y)),
  arithmetic('Minimum', (b, x, y) => hlo.min(b, x, y)),
  arithmetic('SquaredDifference', (b, x, y) => {
    const d = hlo.sub(b, x, y);
    return hlo.mul(b, d, d);
  }),
  binary('Atan2', (b, x, y) =>
    isFloat(x.dtype)
      ? hlo.binary(b, 'atan2', x, y)
      : hlo.binary(b, 'atan2', hlo.convert(b, x, 'f32'), hlo.convert(b, y, 'f32')),
  ),
  binary('BitwiseAnd', (b, x, y) => hlo.and(b, x, y)),
  comparison('Equal', 'EQ'),
  comparison('NotEqual', 'NE'),
  comparison('Less', 'LT'),
  comparison('LessEqual', 'LE'),
  comparison('Greater', 'GT'),
  comparison('GreaterEqual', 'GE'),
  logical('LogicalAnd', (b, x, y) => hlo.and(b, x, y)),
  logical('LogicalOr', (b, x, y) => hlo.or(b, x, y)),
  logical('LogicalXor', (b, x, y) => hlo.xor(b, x, y)),
  kernel('Prelu', (b, inputs) => {
    const [x, alpha] = matched(b, need(inputs, 'x'), need(inputs, 'alpha'));
    return hlo.select(b, hlo.compare(b, 'LT', x, like(b, x, 0)), hlo.mul(b, alpha, x), x);
  }),
  kernel('AddN', (b, inputs) =>
    listed(inputs).reduce((sum, x) => {
      const [l, r] = matched(b, sum, x);
      return hlo.add(b, l, r);
    }),
  ),
  kernel('EluGrad', (b, inputs) => {
    const [dy, y] = matched(b, need(inputs, 'dy'), need(inputs, 'y'));
    return hlo.select(
      b,
      hlo.compare(b, 'GE', y, like(b, y, 0)),
      dy,
      hlo.mul(b, dy, hlo.add(b, y, like(b, y, 1))),
    );
  }),
  kernel('Select', (b, inputs) => {
    const [t, e] = matched(b, need(inputs, 't'), need(inputs, 'e'));
    const condition = castTo(b, need(inputs, 'condition'), 'i1');
    // A vector condition picks whole rows.
    const shaped =
      condition.shape.length === 1 && t.shape.length > 1
        ? hlo.broadcastInDim(b, condition, t.shape, [0])
        : hlo.broadcastTo(b, condition, t.shape);
    return hlo.select(b, shaped, t, e);
  }),
];
