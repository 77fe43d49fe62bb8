import { type Block, op, short } from './block';
import { describe, fail } from './errors';
import { meetingPositions, productFlops } from './flops';
import { boolArray, i64Array, i64Matrix } from './literals';
import { type ElementType, numElements, typeText, type Value } from './types';

/** How exactly float32 products are computed: `HIGHEST` forbids TF32 and bf16 passes. */
export type Precision = 'DEFAULT' | 'HIGH' | 'HIGHEST';

export interface DotDimensions {
  readonly lhsBatch?: readonly number[];
  readonly rhsBatch?: readonly number[];
  readonly lhsContract: readonly number[];
  readonly rhsContract: readonly number[];
  /** Type of the result, where it is not the operands' own. */
  readonly result?: ElementType;
  readonly precision?: Precision;
}

/** Where batch, feature and space lie in an operand; `space` in the order of the window. */
export interface ConvolutionLayout {
  readonly batch: number;
  readonly feature: number;
  readonly space: readonly number[];
}
export interface KernelLayout {
  readonly input: number;
  readonly output: number;
  readonly space: readonly number[];
}

export interface ConvolutionOptions {
  readonly input: ConvolutionLayout;
  readonly kernel: KernelLayout;
  readonly output: ConvolutionLayout;
  readonly strides?: readonly number[];
  /** Zeros before and after each axis of space; may be negative. */
  readonly padding?: readonly (readonly [number, number])[];
  readonly inputDilation?: readonly number[];
  readonly kernelDilation?: readonly number[];
  /** Convolve (flip the kernel) along an axis of space instead of correlating. */
  readonly reversal?: readonly boolean[];
  readonly featureGroups?: number;
  readonly batchGroups?: number;
  readonly result?: ElementType;
  readonly precision?: Precision;
}

const dimensionText = (rank: number, names: ReadonlyMap<number, string>): string =>
  `[${Array.from({ length: rank }, (_, i) => names.get(i)).join(', ')}]`;

/** A matrix product. Axes of the result: batch, the free axes of the left, the free axes of the right. */
export function dot(b: Block, x: Value, y: Value, d: DotDimensions): Value {
  const lhsBatch = d.lhsBatch ?? [];
  const rhsBatch = d.rhsBatch ?? [];
  if (x.dtype !== y.dtype)
    fail('dot_general', `operands must agree in type, got ${describe(x)} and ${describe(y)}`);
  const pairs: [readonly number[], readonly number[]][] = [
    [lhsBatch, rhsBatch],
    [d.lhsContract, d.rhsContract],
  ];
  for (const [l, r] of pairs)
    if (
      l.length !== r.length ||
      l.some((axis, i) => x.shape[axis] === undefined || x.shape[axis] !== y.shape[r[i]!])
    )
      fail(
        'dot_general',
        `axes [${l.join(',')}] of ${describe(x)} do not meet [${r.join(',')}] of ${describe(y)}`,
      );
  const free = (operand: Value, used: readonly number[]) => operand.shape.filter((_, i) => !used.includes(i));
  const shape = [
    ...lhsBatch.map((i) => x.shape[i]!),
    ...free(x, [...lhsBatch, ...d.lhsContract]),
    ...free(y, [...rhsBatch, ...d.rhsContract]),
  ];
  const type = { shape, dtype: d.result ?? x.dtype };
  const p = d.precision ?? 'HIGHEST';
  const parts = [
    ...(lhsBatch.length ? [`batching_dims = [${lhsBatch.join(', ')}] x [${rhsBatch.join(', ')}]`] : []),
    `contracting_dims = [${d.lhsContract.join(', ')}] x [${d.rhsContract.join(', ')}]`,
    `precision = [${p}, ${p}]`,
  ];
  const rest = `, ${parts.join(', ')} : (${typeText(x)}, ${typeText(y)}) -> ${typeText(type)}`;
  const flops = productFlops(type, numElements(d.lhsContract.map((axis) => x.shape[axis]!)));
  return short(b, 'dot_general', [x, y], rest, type, flops);
}

/** Convolution in full generality; by default a correlation with stride 1 and no padding. */
export function convolution(b: Block, x: Value, kernel: Value, o: ConvolutionOptions): Value {
  const n = o.input.space.length;
  const rank = n + 2;
  if (x.dtype !== kernel.dtype || x.shape.length !== rank || kernel.shape.length !== rank)
    fail(
      'convolution',
      `input ${describe(x)} and kernel ${describe(kernel)} must have one type and ${rank} axes`,
    );
  const ones = Array<number>(n).fill(1);
  const strides = o.strides ?? ones;
  const inputDilation = o.inputDilation ?? ones;
  const kernelDilation = o.kernelDilation ?? ones;
  const padding = o.padding ?? ones.map(() => [0, 0] as const);
  const groups = o.featureGroups ?? 1;
  const batchGroups = o.batchGroups ?? 1;
  const features = x.shape[o.input.feature]!;
  const outputs = kernel.shape[o.kernel.output]!;
  if (features !== kernel.shape[o.kernel.input]! * groups)
    fail('convolution', `${features} features in ${groups} groups do not meet kernel ${describe(kernel)}`);
  if (outputs % groups || outputs % batchGroups || x.shape[o.input.batch]! % batchGroups)
    fail(
      'convolution',
      `groups (${groups}, batch ${batchGroups}) do not divide ${describe(x)} and ${describe(kernel)}`,
    );
  const shape = Array<number>(rank);
  shape[o.output.batch] = x.shape[o.input.batch]! / batchGroups;
  shape[o.output.feature] = outputs;
  for (let i = 0; i < n; i++) {
    const dilate = (size: number, by: number) => (size === 0 ? 0 : (size - 1) * by + 1);
    const size = dilate(x.shape[o.input.space[i]!]!, inputDilation[i]!) + padding[i]![0] + padding[i]![1];
    const window = dilate(kernel.shape[o.kernel.space[i]!]!, kernelDilation[i]!);
    shape[o.output.space[i]!] = size < window ? 0 : Math.floor((size - window) / strides[i]!) + 1;
  }
  const type = { shape, dtype: o.result ?? x.dtype };
  let meeting = 1;
  for (let i = 0; i < n; i++) {
    meeting *= meetingPositions({
      input: x.shape[o.input.space[i]!]!,
      kernel: kernel.shape[o.kernel.space[i]!]!,
      output: shape[o.output.space[i]!]!,
      stride: strides[i]!,
      padding: padding[i]![0],
      inputDilation: inputDilation[i]!,
      kernelDilation: kernelDilation[i]!,
    });
  }
  const channels = { shape: [shape[o.output.batch]!, outputs, meeting], dtype: type.dtype };
  const io = (l: ConvolutionLayout) =>
    dimensionText(
      rank,
      new Map([[l.batch, 'b'], [l.feature, 'f'], ...l.space.map((a, i) => [a, `${i}`] as const)]),
    );
  const k = dimensionText(
    rank,
    new Map([
      [o.kernel.input, 'i'],
      [o.kernel.output, 'o'],
      ...o.kernel.space.map((a, i) => [a, `${i}`] as const),
    ]),
  );
  const p = `#stablehlo<precision ${o.precision ?? 'HIGHEST'}>`;
  const attributes = {
    dimension_numbers: `#stablehlo.conv<${io(o.input)}x${k}->${io(o.output)}>`,
    window_strides: i64Array(strides),
    ...(n > 0 && { padding: i64Matrix(padding) }),
    lhs_dilation: i64Array(inputDilation),
    rhs_dilation: i64Array(kernelDilation),
    window_reversal: boolArray(o.reversal ?? ones.map(() => false)),
    feature_group_count: `${groups} : i64`,
    batch_group_count: `${batchGroups} : i64`,
    precision_config: `[${p}, ${p}]`,
  };
  const flops = productFlops(channels, kernel.shape[o.kernel.input]!);
  return op(b, 'stablehlo.convolution', [x, kernel], [type], attributes, [], flops)[0]!;
}

/** Fourier transform over the last `length.length` axes. */
export function fft(
  b: Block,
  x: Value,
  type: 'FFT' | 'IFFT' | 'RFFT' | 'IRFFT',
  length: readonly number[],
): Value {
  const shape = [...x.shape];
  if (length.length === 0 || length.length > shape.length)
    fail('fft', `cannot transform ${length.length} axes of ${describe(x)}`);
  const last = shape.length - 1;
  const wants =
    type === 'RFFT' ? x.dtype === 'f32' || x.dtype === 'f64' : x.dtype === 'c64' || x.dtype === 'c128';
  if (!wants) fail('fft', `${type} does not take ${describe(x)}`);
  let dtype = x.dtype;
  if (type === 'RFFT') {
    shape[last] = Math.floor(length.at(-1)! / 2) + 1;
    dtype = x.dtype === 'f64' ? 'c128' : 'c64';
  } else if (type === 'IRFFT') {
    shape[last] = length.at(-1)!;
    dtype = x.dtype === 'c128' ? 'f64' : 'f32';
  }
  const attributes = { fft_type: `#stablehlo<fft_type ${type}>`, fft_length: i64Array(length) };
  // Cooley and Tukey's count for complex numbers.
  const points = numElements(length);
  const transforms = numElements(shape.slice(0, shape.length - length.length));
  const flops = 5 * transforms * points * Math.log2(Math.max(1, points));
  return op(b, 'stablehlo.fft', [x], [{ shape, dtype }], attributes, [], Math.round(flops))[0]!;
}
