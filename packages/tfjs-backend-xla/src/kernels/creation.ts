import { type Builder, numElements, type Value } from '../stablehlo';
import { attrsOf, kernel, type Lowering, need } from './kernel';
import { castTo, elementTypeOf, inFloat32, like } from './values';

/** start + i·step, computed once an element so that errors do not add up. */
function ramp(b: Builder, count: number, start: number, step: number, dtype: 'f32' | 'i32'): Value {
  const i = b.iota([count], 0, dtype);
  return b.add(like(b, i, start), b.mul(i, like(b, i, step)));
}

/** Kernels without tensors, and batch normalisation and local response normalisation. */
export const creationKernels: Lowering[] = [
  kernel('Fill', (b, _, attrs) => {
    const a = attrsOf<{ shape: number[]; value: number | boolean; dtype?: string }>(attrs);
    return b.full(a.shape, a.value, elementTypeOf(a.dtype ?? 'float32'));
  }),
  kernel('Range', (b, _, attrs) => {
    const a = attrsOf<{ start: number; stop: number; step: number; dtype: string }>(attrs);
    // Counting down is tfjs' default when stop lies below start.
    const step = a.stop < a.start && a.step === 1 ? -1 : a.step;
    const count = Math.max(Math.ceil((a.stop - a.start) / step), 0);
    const dtype = a.dtype === 'int32' ? 'i32' : 'f32';
    return count === 0 || a.start === a.stop ? b.full([0], 0, dtype) : ramp(b, count, a.start, step, dtype);
  }),
  kernel('LinSpace', (b, _, attrs) => {
    const a = attrsOf<{ start: number; stop: number; num: number }>(attrs);
    if (a.num === 1) return b.full([1], a.start, 'f32');
    return ramp(b, a.num, a.start, (a.stop - a.start) / (a.num - 1), 'f32');
  }),
];

const normalize = (b: Builder, x: Value, mean: Value, variance: Value, epsilon: number): Value => {
  const scale = b.unary('rsqrt', b.add(variance, like(b, variance, epsilon)));
  return b.mul(b.sub(x, b.broadcastTo(mean, x.shape)), b.broadcastTo(scale, x.shape));
};

interface LrnAttrs {
  depthRadius: number;
  bias: number;
  alpha: number;
  beta: number;
}

/** Sums over `2·radius + 1` neighbours along the last axis. */
function neighbours(b: Builder, x: Value, radius: number): Value {
  const last = x.shape.length - 1;
  const r = Math.min(radius, x.shape[last]!);
  return b.reduceWindow(x, 'add', {
    window: x.shape.map((_, i) => (i === last ? 2 * r + 1 : 1)),
    padding: x.shape.map((_, i) => (i === last ? [r, r] : [0, 0])),
  });
}

const lrnBase = (b: Builder, x: Value, a: LrnAttrs): Value => {
  const sum = neighbours(b, b.mul(x, x), a.depthRadius);
  return b.add(like(b, x, a.bias), b.mul(like(b, x, a.alpha), sum));
};

export const normalizationKernels: Lowering[] = [
  kernel('FusedBatchNorm', (b, inputs, attrs) =>
    inFloat32(b, need(inputs, 'x'), (x) => {
      const part = (name: string) => b.convert(need(inputs, name), x.dtype);
      const { varianceEpsilon } = attrsOf<{ varianceEpsilon: number | null }>(attrs);
      const y = normalize(b, x, part('mean'), part('variance'), varianceEpsilon ?? 0.001);
      const scaled = inputs.scale ? b.mul(y, b.broadcastTo(part('scale'), x.shape)) : y;
      return inputs.offset ? b.add(scaled, b.broadcastTo(part('offset'), x.shape)) : scaled;
    }),
  ),
  kernel('LRN', (b, inputs, attrs) =>
    inFloat32(b, need(inputs, 'x'), (x) => {
      const a = attrsOf<LrnAttrs>(attrs);
      return b.mul(x, b.binary('power', lrnBase(b, x, a), like(b, x, -a.beta)));
    }),
  ),
  kernel('LRNGrad', (b, inputs, attrs) =>
    inFloat32(b, need(inputs, 'x'), (x) => {
      const a = attrsOf<LrnAttrs>(attrs);
      const dy = b.convert(need(inputs, 'dy'), x.dtype);
      const y = b.convert(need(inputs, 'y'), x.dtype);
      const base = lrnBase(b, x, a);
      const own = b.mul(dy, b.binary('power', base, like(b, x, -a.beta)));
      const others = neighbours(b, b.div(b.mul(dy, y), base), a.depthRadius);
      return b.sub(own, b.mul(b.mul(like(b, x, 2 * a.alpha * a.beta), x), others));
    }),
  ),
  kernel('Multinomial', (b, inputs, attrs) => {
    const a = attrsOf<{ numSamples: number; seed: number; normalized: boolean }>(attrs);
    const logits = need(inputs, 'logits');
    const [batch, classes] = logits.shape as [number, number];
    const weights = a.normalized ? b.log(b.convert(logits, 'f32')) : b.convert(logits, 'f32');
    // Gumbel's trick: the largest of logits plus noise is a draw from the softmax.
    const shape = [batch, a.numSamples, classes];
    if (numElements(shape) === 0) return b.full([batch, a.numSamples], 0, 'i32');
    const seed = b.constant([BigInt(Math.floor(Math.abs(a.seed) * 2 ** 32)), 0n], [2], 'ui64');
    const [, bits] = b.rngBitGenerator(seed, shape, 'ui32');
    const mantissa = b.binary('shift_right_logical', bits, b.full(shape, 9, 'ui32'));
    const half = b.full(shape, 0.5, 'f32');
    const u = b.mul(b.add(b.convert(mantissa, 'f32'), half), b.full(shape, 2 ** -23, 'f32'));
    const noise = b.neg(b.log(b.neg(b.log(u))));
    const score = b.add(b.broadcastInDim(weights, shape, [0, 2]), noise);
    return argMaxLast(b, score);
  }),
];

function argMaxLast(b: Builder, x: Value): Value {
  const last = x.shape.length - 1;
  const best = b.broadcastInDim(b.reduce(x, 'maximum', [last]), x.shape, [0, 1]);
  const index = b.iota(x.shape, last, 'i32');
  const hit = b.select(b.compare('EQ', x, best), index, like(b, index, x.shape[last]! - 1));
  return castTo(b, b.reduce(hit, 'minimum', [last]), 'i32');
}
