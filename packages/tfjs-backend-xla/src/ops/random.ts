/** The random numbers of `random`, as StableHLO: bit for bit those of the host. */
import {
  ERF_INV_CENTRAL,
  ERF_INV_TAIL,
  NORMAL_LOW,
  PARITY,
  RANDOM_FOLD_IN,
  RANDOM_NORMAL,
  RANDOM_UNIFORM,
  ROTATIONS,
} from '@flow-grpo/tfjs-jit/backend';
import { attrsOf, kernel, type Lowering, need } from '../kernels/kernel';
import type { Builder, Value } from '../stablehlo';

/** Threefry-2x32 on arrays of counter words; key words are scalars. */
function threefry(b: Builder, k0: Value, k1: Value, x0: Value, x1: Value): [Value, Value] {
  const { shape } = x0;
  const wide = (x: Value) => b.broadcastInDim(x, shape, []);
  const parity = b.xor(b.xor(k0, k1), b.scalar(PARITY, 'ui32'));
  const keys = [k0, k1, parity];
  let left = b.add(x0, wide(k0));
  let right = b.add(x1, wide(k1));
  for (let group = 0; group < 5; group++) {
    for (const rotation of ROTATIONS[group & 1]!) {
      left = b.add(left, right);
      const up = b.binary('shift_left', right, b.full(shape, rotation, 'ui32'));
      const down = b.binary('shift_right_logical', right, b.full(shape, 32 - rotation, 'ui32'));
      right = b.xor(b.or(up, down), left);
    }
    left = b.add(left, wide(keys[(group + 1) % 3]!));
    right = b.add(right, wide(b.add(keys[(group + 2) % 3]!, b.scalar(group + 1, 'ui32'))));
  }
  return [left, right];
}

function keyWords(b: Builder, key: Value): [Value, Value] {
  const bits = b.bitcast(key, 'ui32');
  return [b.reshape(b.slice(bits, [0], [1]), []), b.reshape(b.slice(bits, [1], [2]), [])];
}

/** Position of each element in row-major order; below 2³² elements the upper word is zero. */
function counters(b: Builder, shape: readonly number[]): Value {
  let position = b.full(shape, 0, 'ui32');
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const along = b.iota(shape, axis, 'ui32');
    position = b.add(position, stride === 1 ? along : b.mul(along, b.full(shape, stride, 'ui32')));
    stride *= shape[axis]!;
  }
  return position;
}

function bits(b: Builder, key: Value, shape: readonly number[]): Value {
  const [k0, k1] = keyWords(b, key);
  const [left, right] = threefry(b, k0, k1, b.full(shape, 0, 'ui32'), counters(b, shape));
  return b.xor(left, right);
}

function uniform(b: Builder, random: Value): Value {
  const { shape } = random;
  const fraction = b.binary('shift_right_logical', random, b.full(shape, 9, 'ui32'));
  const float = b.bitcast(b.or(fraction, b.full(shape, 0x3f800000, 'ui32')), 'f32');
  return b.sub(float, b.full(shape, 1, 'f32'));
}

function inverseErf(b: Builder, x: Value): Value {
  const full = (value: number) => b.full(x.shape, value, 'f32');
  const w = b.neg(b.unary('log_plus_one', b.neg(b.mul(x, x))));
  const central = b.compare('LT', w, full(5));
  const at = b.select(central, b.sub(w, full(2.5)), b.sub(b.unary('sqrt', w), full(3)));
  let p = full(0);
  ERF_INV_CENTRAL.forEach((coefficient, i) => {
    p = b.add(b.select(central, full(coefficient), full(ERF_INV_TAIL[i]!)), b.mul(p, at));
  });
  return b.mul(p, x);
}

/** Words of one new key: Threefry of the counter (0, data). */
function derived(b: Builder, key: Value, data: Value): Value {
  const [k0, k1] = keyWords(b, key);
  const [left, right] = threefry(b, k0, k1, b.scalar(0, 'ui32'), b.bitcast(data, 'ui32'));
  return b.bitcast(b.concatenate([b.reshape(left, [1]), b.reshape(right, [1])], 0), 'i32');
}

interface ShapeAttrs {
  shape: number[];
}

export const randomLowerings: readonly Lowering[] = [
  kernel(RANDOM_UNIFORM, (b, inputs, attrs) =>
    uniform(b, bits(b, need(inputs, 'key'), attrsOf<ShapeAttrs>(attrs).shape)),
  ),
  kernel(RANDOM_NORMAL, (b, inputs, attrs) => {
    const { shape } = attrsOf<ShapeAttrs>(attrs);
    const full = (value: number) => b.full(shape, value, 'f32');
    const unit = uniform(b, bits(b, need(inputs, 'key'), shape));
    const span = Math.fround(1 - NORMAL_LOW);
    const u = b.max(b.add(b.mul(unit, full(span)), full(NORMAL_LOW)), full(NORMAL_LOW));
    return b.mul(full(Math.SQRT2), inverseErf(b, u));
  }),
  kernel(RANDOM_FOLD_IN, (b, inputs) => derived(b, need(inputs, 'key'), b.reshape(need(inputs, 'data'), []))),
];
