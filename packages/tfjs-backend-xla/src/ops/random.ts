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
import { type Block, hlo, type Value } from '../stablehlo';

/** Threefry-2x32 on arrays of counter words; key words are scalars. */
function threefry(b: Block, k0: Value, k1: Value, x0: Value, x1: Value): [Value, Value] {
  const { shape } = x0;
  const wide = (x: Value) => hlo.broadcastInDim(b, x, shape, []);
  const parity = hlo.xor(b, hlo.xor(b, k0, k1), hlo.scalar(b, PARITY, 'ui32'));
  const keys = [k0, k1, parity];
  let left = hlo.add(b, x0, wide(k0));
  let right = hlo.add(b, x1, wide(k1));
  for (let group = 0; group < 5; group++) {
    for (const rotation of ROTATIONS[group & 1]!) {
      left = hlo.add(b, left, right);
      const up = hlo.binary(b, 'shift_left', right, hlo.full(b, shape, rotation, 'ui32'));
      const down = hlo.binary(b, 'shift_right_logical', right, hlo.full(b, shape, 32 - rotation, 'ui32'));
      right = hlo.xor(b, hlo.or(b, up, down), left);
    }
    left = hlo.add(b, left, wide(keys[(group + 1) % 3]!));
    right = hlo.add(b, right, wide(hlo.add(b, keys[(group + 2) % 3]!, hlo.scalar(b, group + 1, 'ui32'))));
  }
  return [left, right];
}

function keyWords(b: Block, key: Value): [Value, Value] {
  const bits = hlo.bitcast(b, key, 'ui32');
  return [hlo.reshape(b, hlo.slice(b, bits, [0], [1]), []), hlo.reshape(b, hlo.slice(b, bits, [1], [2]), [])];
}

/** Position of each element in row-major order; below 2³² elements the upper word is zero. */
function counters(b: Block, shape: readonly number[]): Value {
  let position = hlo.full(b, shape, 0, 'ui32');
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const along = hlo.iota(b, shape, axis, 'ui32');
    position = hlo.add(
      b,
      position,
      stride === 1 ? along : hlo.mul(b, along, hlo.full(b, shape, stride, 'ui32')),
    );
    stride *= shape[axis]!;
  }
  return position;
}

function bits(b: Block, key: Value, shape: readonly number[]): Value {
  const [k0, k1] = keyWords(b, key);
  const [left, right] = threefry(b, k0, k1, hlo.full(b, shape, 0, 'ui32'), counters(b, shape));
  return hlo.xor(b, left, right);
}

function uniform(b: Block, random: Value): Value {
  const { shape } = random;
  const fraction = hlo.binary(b, 'shift_right_logical', random, hlo.full(b, shape, 9, 'ui32'));
  const float = hlo.bitcast(b, hlo.or(b, fraction, hlo.full(b, shape, 0x3f800000, 'ui32')), 'f32');
  return hlo.sub(b, float, hlo.full(b, shape, 1, 'f32'));
}

function inverseErf(b: Block, x: Value): Value {
  const full = (value: number) => hlo.full(b, x.shape, value, 'f32');
  const w = hlo.neg(b, hlo.unary(b, 'log_plus_one', hlo.neg(b, hlo.mul(b, x, x))));
  const central = hlo.compare(b, 'LT', w, full(5));
  const at = hlo.select(b, central, hlo.sub(b, w, full(2.5)), hlo.sub(b, hlo.unary(b, 'sqrt', w), full(3)));
  let p = full(0);
  ERF_INV_CENTRAL.forEach((coefficient, i) => {
    p = hlo.add(b, hlo.select(b, central, full(coefficient), full(ERF_INV_TAIL[i]!)), hlo.mul(b, p, at));
  });
  return hlo.mul(b, p, x);
}

/**
 * Words of one new key: Threefry of the counter (0, data). Computed once, not again for each number that is drawn with it:
 * fused into a loop over rows, its rounds, which use one another twice, kept XLA's compiler for CPUs from ever ending.
 */
function derived(b: Block, key: Value, data: Value): Value {
  const [k0, k1] = keyWords(b, key);
  const words = threefry(b, k0, k1, hlo.scalar(b, 0, 'ui32'), hlo.bitcast(b, data, 'ui32'));
  const both = hlo.concatenate(
    b,
    words.map((word) => hlo.reshape(b, word, [1])),
    0,
  );
  return hlo.bitcast(b, hlo.optimizationBarrier(b, [both])[0]!, 'i32');
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
    const full = (value: number) => hlo.full(b, shape, value, 'f32');
    const unit = uniform(b, bits(b, need(inputs, 'key'), shape));
    const span = Math.fround(1 - NORMAL_LOW);
    const u = hlo.max(b, hlo.add(b, hlo.mul(b, unit, full(span)), full(NORMAL_LOW)), full(NORMAL_LOW));
    return hlo.mul(b, full(Math.SQRT2), inverseErf(b, u));
  }),
  kernel(RANDOM_FOLD_IN, (b, inputs) =>
    derived(b, need(inputs, 'key'), hlo.reshape(b, need(inputs, 'data'), [])),
  ),
];
