import { type Block, hlo, numElements, type Value } from '../stablehlo';
import { attrsOf, kernel, type Lowering, need } from './kernel';
import { castTo, elementTypeOf, inFloat32, like } from './values';

/** start + i·step, computed once an element so that errors do not add up. */
function ramp(b: Block, count: number, start: number, step: number, dtype: 'f32' | 'i32'): Value {
  const i = hlo.iota(b, [count], 0, dtype);
  return hlo.add(b, like(b, i, start), hlo.mul(b, i, like(b, i, step)));
}

/** Kernels without tensors, and batch normalisation and local response normalisation. */
export const creationKernels: Lowering[] = [
  kernel('Fill', (b, _, attrs) => {
    const a = attrsOf<{ shape: number[]; value: number | boolean; dtype?: string }>(attrs);
    return hlo.full(b, a.shape, a.value, elementTypeOf(a.dtype ?? 'float32'));
  }),
  kernel('Range', (b, _, attrs) => {
    const a = attrsOf<{ start: number; stop: number; step: number; dtype: string }>(attrs);
    // Counting down is tfjs' default when stop lies below start.
    const step = a.stop < a.start && a.step === 1 ? -1 : a.step;
    const count = Math.max(Math.ceil((a.stop - a.start) / step), 0);
    const dtype = a.dtype === 'int32' ? 'i32' : 'f32';
    return count === 0 || a.start === a.stop
      ? hlo.full(b, [0], 0, dtype)
      : ramp(b, count, a.start, step, dtype);
  }),
  kernel('LinSpace', (b, _, attrs) => {
    const a = attrsOf<{ start: number; stop: number; num: number }>(attrs);
    if (a.num === 1) return hlo.full(b, [1], a.start, 'f32');
    return ramp(b, a.num, a.start, (a.stop - a.start) / (a.num - 1), 'f32');
  }),
];

const normalize = (b: Block, x: Value, mean: Value, variance: Value, epsilon: number): Value => {
  const scale = hlo.unary(b, 'rsqrt', hlo.add(b, variance, like(b, variance, epsilon)));
  return hlo.mul(b, hlo.sub(b, x, hlo.broadcastTo(b, mean, x.shape)), hlo.broadcastTo(b, scale, x.shape));
};

interface LrnAttrs {
  depthRadius: number;
  bias: number;
  alpha: number;
  beta: number;
}

/** Sums over `2·radius + 1` neighbours along the last axis. */
function neighbours(b: Block, x: Value, radius: number): Value {
  const last = x.shape.length - 1;
  const r = Math.min(radius, x.shape[last]!);
  return hlo.reduceWindow(b, x, 'add', {
    window: x.shape.map((_, i) => (i === last ? 2 * r + 1 : 1)),
    padding: x.shape.map((_, i) => (i === last ? [r, r] : [0, 0])),
  });
}

const lrnBase = (b: Block, x: Value, a: LrnAttrs): Value => {
  const sum = neighbours(b, hlo.mul(b, x, x), a.depthRadius);
  return hlo.add(b, like(b, x, a.bias), hlo.mul(b, like(b, x, a.alpha), sum));
};

export const normalizationKernels: Lowering[] = [
  kernel('FusedBatchNorm', (b, inputs, attrs) =>
    inFloat32(b, need(inputs, 'x'), (x) => {
      const part = (name: string) => hlo.convert(b, need(inputs, name), x.dtype);
      const { varianceEpsilon } = attrsOf<{ varianceEpsilon: number | null }>(attrs);
      const y = normalize(b, x, part('mean'), part('variance'), varianceEpsilon ?? 0.001);
      const scaled = inputs.scale ? hlo.mul(b, y, hlo.broadcastTo(b, part('scale'), x.shape)) : y;
      return inputs.offset ? hlo.add(b, scaled, hlo.broadcastTo(b, part('offset'), x.shape)) : scaled;
    }),
  ),
  kernel('LRN', (b, inputs, attrs) =>
    inFloat32(b, need(inputs, 'x'), (x) => {
      const a = attrsOf<LrnAttrs>(attrs);
      return hlo.mul(b, x, hlo.binary(b, 'power', lrnBase(b, x, a), like(b, x, -a.beta)));
    }),
  ),
  kernel('LRNGrad', (b, inputs, attrs) =>
    inFloat32(b, need(inputs, 'x'), (x) => {
      const a = attrsOf<LrnAttrs>(attrs);
      const dy = hlo.convert(b, need(inputs, 'dy'), x.dtype);
      const y = hlo.convert(b, need(inputs, 'y'), x.dtype);
      const base = lrnBase(b, x, a);
      const own = hlo.mul(b, dy, hlo.binary(b, 'power', base, like(b, x, -a.beta)));
      const others = neighbours(b, hlo.div(b, hlo.mul(b, dy, y), base), a.depthRadius);
      return hlo.sub(b, own, hlo.mul(b, hlo.mul(b, like(b, x, 2 * a.alpha * a.beta), x), others));
    }),
  ),
  kernel('Multinomial', (b, inputs, attrs) => {
    const a = attrsOf<{ numSamples: number; seed: number; normalized: boolean }>(attrs);
    const logits = need(inputs, 'logits');
    const [batch, classes] = logits.shape as [number, number];
    const weights = a.normalized ? hlo.log(b, hlo.convert(b, logits, 'f32')) : hlo.convert(b, logits, 'f32');
    // Gumbel's trick: the largest of logits plus noise is a draw from the softmax.
    const shape = [batch, a.numSamples, classes];
    if (numElements(shape) === 0) return hlo.full(b, [batch, a.numSamples], 0, 'i32');
    const seed = hlo.constant(b, [BigInt(Math.floor(Math.abs(a.seed) * 2 ** 32)), 0n], [2], 'ui64');
    const [, bits] = hlo.rngBitGenerator(b, seed, shape, 'ui32');
    const mantissa = hlo.binary(b, 'shift_right_logical', bits, hlo.full(b, shape, 9, 'ui32'));
    const half = hlo.full(b, shape, 0.5, 'f32');
    const u = hlo.mul(
      b,
      hlo.add(b, hlo.convert(b, mantissa, 'f32'), half),
      hlo.full(b, shape, 2 ** -23, 'f32'),
    );
    const noise = hlo.neg(b, hlo.log(b, hlo.neg(b, hlo.log(b, u))));
    const score = hlo.add(b, hlo.broadcastInDim(b, weights, shape, [0, 2]), noise);
    return argMaxLast(b, score);
  }),
];

function argMaxLast(b: Block, x: Value): Value {
  const last = x.shape.length - 1;
  const best = hlo.broadcastInDim(b, hlo.reduce(b, x, 'maximum', [last]), x.shape, [0, 1]);
  const index = hlo.iota(b, x.shape, last, 'i32');
  const hit = hlo.select(b, hlo.compare(b, 'EQ', x, best), index, like(b, index, x.shape[last]! - 1));
  return castTo(b, hlo.reduce(b, hit, 'minimum', [last]), 'i32');
}
