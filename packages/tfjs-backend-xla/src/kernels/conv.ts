import { backend_util } from '@tensorflow/tfjs-core';
import { type Block, type ConvolutionOptions, type ElementType, hlo, type Value } from '../stablehlo';
import { type Fused, fused } from './activation';
import { attrsOf, type Inputs, kernel, type Lowering, need } from './kernel';
import { isNarrow, promote } from './values';

type Spatial = number | number[];
interface ConvAttrs {
  strides: Spatial;
  pad: 'valid' | 'same' | number;
  dilations?: Spatial;
  dataFormat?: string;
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
  filterShape?: number[];
  inputShape?: number[];
}

/** A convolution's geometry, the same for a forward pass and its gradients. */
interface Geometry {
  readonly strides: number[];
  readonly dilations: number[];
  /** Padding before and after, as the forward pass has it. */
  readonly padding: [number, number][];
  readonly inSize: number[];
  readonly window: number[];
  readonly outSize: number[];
  readonly channelsFirst: boolean;
}

function geometry2d(
  xShape: readonly number[],
  filterShape: readonly number[],
  a: ConvAttrs,
  depthwise = false,
): Geometry {
  const format = a.dataFormat === 'NCHW' ? 'channelsFirst' : 'channelsLast';
  const i = backend_util.computeConv2DInfo(
    xShape as [number, number, number, number],
    filterShape as [number, number, number, number],
    a.strides as number,
    (a.dilations ?? 1) as number,
    a.pad,
    a.dimRoundingMode,
    depthwise,
    format,
  );
  const p = i.padInfo;
  return withPadding({
    strides: [i.strideHeight, i.strideWidth],
    dilations: [i.dilationHeight, i.dilationWidth],
    padding: [
      [p.top, p.bottom],
      [p.left, p.right],
    ],
    inSize: [i.inHeight, i.inWidth],
    window: [i.filterHeight, i.filterWidth],
    outSize: [i.outHeight, i.outWidth],
    channelsFirst: format === 'channelsFirst',
  });
}

function geometry3d(xShape: readonly number[], filterShape: readonly number[], a: ConvAttrs): Geometry {
  const i = backend_util.computeConv3DInfo(
    xShape as [number, number, number, number, number],
    filterShape as [number, number, number, number, number],
    a.strides as number,
    (a.dilations ?? 1) as number,
    a.pad as 'same',
    false,
    a.dataFormat === 'NCDHW' ? 'channelsFirst' : 'channelsLast',
  );
  const p = i.padInfo;
  return withPadding({
    strides: [i.strideDepth, i.strideHeight, i.strideWidth],
    dilations: [i.dilationDepth, i.dilationHeight, i.dilationWidth],
    padding: [
      [p.front, p.back],
      [p.top, p.bottom],
      [p.left, p.right],
    ],
    inSize: [i.inDepth, i.inHeight, i.inWidth],
    window: [i.filterDepth, i.filterHeight, i.filterWidth],
    outSize: [i.outDepth, i.outHeight, i.outWidth],
    channelsFirst: a.dataFormat === 'NCDHW',
  });
}

/** tfjs rounds output sizes in several ways: the padding behind is whatever gives the promised size. */
function withPadding(g: Geometry): Geometry {
  const padding = g.padding.map(([before], i): [number, number] => {
    const span = (g.window[i]! - 1) * g.dilations[i]! + 1;
    return [before, (g.outSize[i]! - 1) * g.strides[i]! + span - before - g.inSize[i]!];
  });
  return { ...g, padding };
}

const range = (n: number, from: number) => Array.from({ length: n }, (_, i) => i + from);

const dataLayout = (n: number, channelsFirst: boolean) =>
  channelsFirst
    ? { batch: 0, feature: 1, space: range(n, 2) }
    : { batch: 0, feature: n + 1, space: range(n, 1) };

function convolve(b: Block, x: Value, k: Value, o: ConvolutionOptions): Value {
  const dtype = promote(x.dtype, k.dtype);
  return hlo.convolution(b, hlo.convert(b, x, dtype), hlo.convert(b, k, dtype), {
    ...o,
    precision: isNarrow(dtype) ? 'DEFAULT' : 'HIGHEST',
  });
}

function forward(
  b: Block,
  x: Value,
  filter: Value,
  g: Geometry,
  featureGroups = 1,
  result?: ElementType,
): Value {
  const n = g.window.length;
  const layout = dataLayout(n, g.channelsFirst);
  return convolve(b, x, filter, {
    input: layout,
    kernel: { space: range(n, 0), input: n, output: n + 1 },
    output: layout,
    strides: g.strides,
    padding: g.padding,
    kernelDilation: g.dilations,
    featureGroups,
    ...(result && { result }),
  });
}

/**
 * The gradient of the input: dy spread by the strides, correlated with the turned kernel. The kernel is turned, and
 * dy spread, in ops of their own behind a barrier: XLA's fast CPU convolution takes neither a reversed window nor
 * other kernel layouts, and its simplifier would fold them back in.
 */
function backInput(b: Block, whole: Value, filter: Value, g: Geometry): Value {
  const n = g.window.length;
  const layout = dataLayout(n, g.channelsFirst);
  // tfjs lets dy be larger than the output of the forward pass, and ignores the rest.
  const limits = [...whole.shape];
  layout.space.forEach((axis, i) => {
    limits[axis] = Math.min(limits[axis]!, g.outSize[i]!);
  });
  const dy = hlo.slice(
    b,
    whole,
    whole.shape.map(() => 0),
    limits,
  );
  const axes = range(n, 0);
  const turned = hlo.transpose(b, hlo.reverse(b, filter, axes), [...axes, n + 1, n]);
  const padding = g.padding.map(([before], i): [number, number] => {
    const span = (g.window[i]! - 1) * g.dilations[i]!;
    const low = span - before;
    const spread = (g.outSize[i]! - 1) * g.strides[i]! + 1;
    return [low, g.inSize[i]! + span - spread - low];
  });
  const [x, k] = hlo.optimizationBarrier(b, [spreadOut(b, dy, layout.space, g.strides), turned]) as [
    Value,
    Value,
  ];
  return convolve(b, x, k, {
    input: layout,
    kernel: { space: axes, input: n, output: n + 1 },
    output: layout,
    padding,
    kernelDilation: g.dilations,
  });
}

/** Zeros between neighbours along the given axes, so that they come to lie a stride apart. */
function spreadOut(b: Block, x: Value, axes: readonly number[], strides: readonly number[]): Value {
  if (strides.every((stride) => stride === 1)) return x;
  const none = x.shape.map(() => 0);
  const interior = x.shape.map((_, axis) => {
    const i = axes.indexOf(axis);
    return i < 0 ? 0 : strides[i]! - 1;
  });
  return hlo.pad(b, x, hlo.scalar(b, 0, x.dtype), none, none, interior);
}

/** The gradient of the filter: x correlated with dy, batch and features changing places. */
function backFilter(b: Block, x: Value, dy: Value, g: Geometry, batchGroups = 1): Value {
  const n = g.window.length;
  const layout = dataLayout(n, g.channelsFirst);
  const padding = g.padding.map(([before], i): [number, number] => {
    const spread = (g.outSize[i]! - 1) * g.strides[i]! + 1;
    const span = (g.window[i]! - 1) * g.dilations[i]! + 1;
    return [before, span - 1 + spread - before - g.inSize[i]!];
  });
  return convolve(b, x, dy, {
    input: { batch: layout.feature, feature: layout.batch, space: layout.space },
    kernel: { input: layout.batch, output: layout.feature, space: layout.space },
    output: { batch: n, feature: n + 1, space: range(n, 0) },
    strides: g.dilations,
    padding,
    kernelDilation: g.strides,
    batchGroups,
  });
}

/** Depthwise filters [h, w, c, m] as grouped ones [h, w, 1, c·m]. */
const grouped = (b: Block, filter: Value): Value => {
  const [h, w, c, m] = filter.shape as [number, number, number, number];
  return hlo.reshape(b, filter, [h, w, 1, c * m]);
};

function conv2d(b: Block, inputs: Inputs, a: ConvAttrs, result?: ElementType): Value {
  const [x, filter] = [need(inputs, 'x'), need(inputs, 'filter')];
  const g = geometry2d(x.shape, filter.shape, a);
  const channels = x.shape[g.channelsFirst ? 1 : 3]!;
  return forward(b, x, filter, g, channels / filter.shape[2]!, result);
}

function depthwise(b: Block, inputs: Inputs, a: ConvAttrs, result?: ElementType): Value {
  const [x, filter] = [need(inputs, 'x'), need(inputs, 'filter')];
  const g = geometry2d(x.shape, filter.shape, a, true);
  return forward(b, x, grouped(b, filter), g, filter.shape[2]!, result);
}

/** dy [.., c·m] and filter [h, w, c, m]: one group per channel, each from m features to one. */
function depthwiseBackInput(b: Block, dy: Value, filter: Value, a: ConvAttrs): Value {
  const g = geometry2d(a.inputShape!, filter.shape, a, true);
  const [h, w, c, m] = filter.shape as [number, number, number, number];
  const turned = hlo.reshape(b, hlo.transpose(b, filter, [0, 1, 3, 2]), [h, w, m, c]);
  const layout = dataLayout(2, g.channelsFirst);
  const padding = g.padding.map(([before], i): [number, number] => {
    const span = (g.window[i]! - 1) * g.dilations[i]!;
    const low = span - before;
    return [low, g.inSize[i]! + span - (g.outSize[i]! - 1) * g.strides[i]! - 1 - low];
  });
  return convolve(b, dy, turned, {
    input: layout,
    kernel: { space: [0, 1], input: 2, output: 3 },
    output: layout,
    padding,
    inputDilation: g.strides,
    kernelDilation: g.dilations,
    reversal: [true, true],
    featureGroups: c,
  });
}

const fusedOf = (inputs: Inputs, attrs: unknown): Fused => ({
  ...(attrs as Fused),
  bias: inputs.bias,
  preluActivationWeights: inputs.preluActivationWeights,
});

/** Per-channel parameters of a channels-first output get their axis in front of the space. */
function channelBias(b: Block, f: Fused, attrs: ConvAttrs): Fused {
  if (attrs.dataFormat !== 'NCHW') return f;
  const lift = (v?: Value) =>
    v && v.shape.length === 1 && v.shape[0]! > 1 ? hlo.reshape(b, v, [v.shape[0]!, 1, 1]) : v;
  return { ...f, bias: lift(f.bias), preluActivationWeights: lift(f.preluActivationWeights) };
}

const fusedConv = (b: Block, inputs: Inputs, a: ConvAttrs, convolution: typeof conv2d): Value =>
  fused(b, [need(inputs, 'x'), need(inputs, 'filter')], channelBias(b, fusedOf(inputs, a), a), (result) =>
    convolution(b, inputs, a, result),
  );

/** Convolutions and their gradients, each one convolution op. */
export const convKernels: Lowering[] = [
  kernel('Conv2D', (b, inputs, attrs) => conv2d(b, inputs, attrsOf(attrs))),
  kernel('FusedConv2D', (b, inputs, attrs) => fusedConv(b, inputs, attrsOf(attrs), conv2d)),
  kernel('Conv2DBackpropInput', (b, inputs, attrs) => {
    const a = attrsOf<ConvAttrs>(attrs);
    const filter = need(inputs, 'filter');
    return backInput(b, need(inputs, 'dy'), filter, geometry2d(a.inputShape!, filter.shape, a));
  }),
  kernel('Conv2DBackpropFilter', (b, inputs, attrs) => {
    const a = attrsOf<ConvAttrs>(attrs);
    const x = need(inputs, 'x');
    return backFilter(b, x, need(inputs, 'dy'), geometry2d(x.shape, a.filterShape!, a));
  }),
  kernel('Conv3D', (b, inputs, attrs) => {
    const [x, filter] = [need(inputs, 'x'), need(inputs, 'filter')];
    return forward(b, x, filter, geometry3d(x.shape, filter.shape, attrsOf(attrs)));
  }),
  kernel('Conv3DBackpropInputV2', (b, inputs, attrs) => {
    const a = attrsOf<ConvAttrs>(attrs);
    const filter = need(inputs, 'filter');
    return backInput(b, need(inputs, 'dy'), filter, geometry3d(a.inputShape!, filter.shape, a));
  }),
  kernel('Conv3DBackpropFilterV2', (b, inputs, attrs) => {
    const a = attrsOf<ConvAttrs>(attrs);
    const x = need(inputs, 'x');
    return backFilter(b, x, need(inputs, 'dy'), geometry3d(x.shape, a.filterShape!, a));
  }),
  kernel('DepthwiseConv2dNative', (b, inputs, attrs) => depthwise(b, inputs, attrsOf(attrs))),
  kernel('FusedDepthwiseConv2D', (b, inputs, attrs) => fusedConv(b, inputs, attrsOf(attrs), depthwise)),
  kernel('DepthwiseConv2dNativeBackpropInput', (b, inputs, attrs) =>
    depthwiseBackInput(b, need(inputs, 'dy'), need(inputs, 'filter'), attrsOf(attrs)),
  ),
  kernel('DepthwiseConv2dNativeBackpropFilter', (b, inputs, attrs) => {
    const a = attrsOf<ConvAttrs>(attrs);
    const x = need(inputs, 'x');
    const g = geometry2d(x.shape, a.filterShape!, a, true);
    // The features of x are the convolution's batch: one batch group per channel gives [h, w, 1, c·m].
    return hlo.reshape(b, backFilter(b, x, need(inputs, 'dy'), g, a.filterShape![2]!), a.filterShape!);
  }),
];
