/** Attention as cuDNN's flash-attention custom calls, which XLA's CUDA plugin knows. */
import { type Block, type ElementType, hlo, numElements, type TensorType, type Value } from '../../stablehlo';
import type { AttentionAttrs, AttentionValues } from './decomposed';

/** Head sizes that cuDNN takes. */
export const fitsFused = (elements: readonly ElementType[], headSize: number): boolean =>
  elements.every((element) => element === elements[0]) &&
  (elements[0] === 'bf16' || elements[0] === 'f16') &&
  headSize % 8 === 0 &&
  headSize <= 128;

const FORWARD = '__cudnn$fmhaSoftmax';
const BACKWARD = '__cudnn$fmhaSoftmaxBackward';

const ROW_MAJOR = [3, 2, 1, 0];
/** Results are [batch, heads, length, size] in the memory order of [batch, length, heads, size]. */
const HEADS_INSIDE = [3, 1, 2, 0];
const SCRATCH: TensorType = { shape: [0], dtype: 'ui8' };

interface Contraction {
  readonly lhs: number;
  readonly rhs: number;
  readonly lhsBatch: readonly number[];
  readonly rhsBatch: readonly number[];
}

/** 64-bit integers of XLA's protobufs are strings in JSON. */
const words = (values: readonly number[]) => values.map(String);

const contraction = ({ lhs, rhs, lhsBatch, rhsBatch }: Contraction) => ({
  lhs_contracting_dimensions: words([lhs]),
  rhs_contracting_dimensions: words([rhs]),
  lhs_batch_dimensions: words(lhsBatch),
  rhs_batch_dimensions: words(rhsBatch),
});

/** The products of a pass: operands are [batch, length, heads, size], scores [batch, heads, T, S]. */
const FORWARD_PRODUCTS = {
  bmm1_dot_dimension_numbers: contraction({ lhs: 3, rhs: 3, lhsBatch: [0, 2], rhsBatch: [0, 2] }),
  bmm2_dot_dimension_numbers: contraction({ lhs: 3, rhs: 1, lhsBatch: [0, 1], rhsBatch: [0, 2] }),
};
const BACKWARD_PRODUCTS = {
  bmm1_grad_gemm1_dot_dimension_numbers: contraction({ lhs: 2, rhs: 1, lhsBatch: [0, 1], rhsBatch: [0, 2] }),
  bmm1_grad_gemm2_dot_dimension_numbers: contraction({ lhs: 3, rhs: 1, lhsBatch: [0, 1], rhsBatch: [0, 2] }),
  bmm2_grad_gemm1_dot_dimension_numbers: contraction({ lhs: 2, rhs: 1, lhsBatch: [0, 1], rhsBatch: [0, 2] }),
  bmm2_grad_gemm2_dot_dimension_numbers: contraction({ lhs: 3, rhs: 3, lhsBatch: [0, 2], rhsBatch: [0, 2] }),
};

const ELEMENT_NAMES: Partial<Record<ElementType, string>> = { bf16: 'BF16', f16: 'F16' };

function maskType({ kvLengths }: AttentionValues, causal: boolean): string {
  if (kvLengths) return causal ? 'PADDING_CAUSAL' : 'PADDING';
  return causal ? 'CAUSAL' : 'NO_MASK';
}

export interface FusedAttrs extends AttentionAttrs {
  /** The same bits every time: gradients are added up in a fixed order. */
  readonly deterministic?: boolean | undefined;
}

/** The custom calls' backend_config: XLA's GpuBackendConfig in JSON. */
function config(
  values: AttentionValues,
  { scale, causal, deterministic }: FusedAttrs,
  products: object,
): string {
  const { q, k } = values;
  const layout = {
    dim_level_types: [],
    dim_unique: [],
    dim_ordered: [],
    minor_to_major: words(ROW_MAJOR),
    tiles: [],
    element_size_in_bits: '0',
    memory_space: '0',
    index_primitive_type: 'PRIMITIVE_TYPE_INVALID',
    pointer_primitive_type: 'PRIMITIVE_TYPE_INVALID',
    dynamic_shape_metadata_prefix_bytes: '0',
  };
  return JSON.stringify({
    operation_queue_id: '0',
    cudnn_fmha_backend_config: {
      algorithm: {
        algo_id: '0',
        math_type: 'TENSOR_OP_MATH',
        tuning_knobs: { 17: '1', 24: '0' },
        is_cudnn_frontend: true,
        workspace_size: '0',
      },
      fmha_scale: scale,
      intermediate_tensor_shape: {
        element_type: ELEMENT_NAMES[q.dtype],
        dimensions: words([q.shape[0]!, q.shape[2]!, q.shape[1]!, k.shape[1]!]),
        tuple_shapes: [],
        layout,
        is_dynamic_dimension: [false, false, false, false],
      },
      is_flash_attention: true,
      mask_type: maskType(values, causal),
      ...products,
      dropout_rate: 0,
      seed: 42,
      sliding_window_length: 0,
      max_seg_per_batch: 1,
      is_paged_attention: false,
      ...(deterministic && { force_deterministic: true }),
    },
  });
}

/** cuDNN wants lengths of queries and keys, or of neither. */
function lengths(b: Block, { q, kvLengths, qLengths }: AttentionValues): Value[] {
  if (!kvLengths) return [];
  return [qLengths ?? hlo.full(b, [q.shape[0]!], q.shape[1]!, 'i32'), kvLengths];
}

/** Of `products` matrix products of scores' size; what a mask hides is counted, as where attention is decomposed. */
const flopsOf = ({ q, k }: AttentionValues, products: number): number =>
  products * 2 * numElements(q.shape) * k.shape[1]!;

const minorToMajor = ({ shape }: TensorType): number[] => shape.map((_, i) => shape.length - 1 - i);

const transposed = ({ shape, dtype }: Value): TensorType => ({
  shape: [shape[0]!, shape[2]!, shape[1]!, shape[3]!],
  dtype,
});

const back = (b: Block, x: Value): Value => hlo.transpose(b, x, [0, 2, 1, 3]);

/** The output [B, T, N, D] and, for a backward pass, the softmax statistics f32 [B, N, T]. */
export function fusedForward(
  b: Block,
  values: AttentionValues,
  attrs: FusedAttrs,
  withStatistics: boolean,
): [output: Value, statistics?: Value] {
  const { q, k, v } = values;
  const operands = [q, k, v, ...lengths(b, values)];
  const statistics: TensorType = { shape: [q.shape[0]!, q.shape[2]!, q.shape[1]!], dtype: 'f32' };
  const results = [transposed(q), ...(withStatistics ? [statistics] : []), SCRATCH];
  const [output, second] = hlo.customCall(b, FORWARD, operands, results, {
    backendConfig: config(values, attrs, FORWARD_PRODUCTS),
    flops: flopsOf(values, 2),
    operandLayouts: operands.map(minorToMajor),
    resultLayouts: [HEADS_INSIDE, ...results.slice(1).map(minorToMajor)],
  });
  return withStatistics ? [back(b, output!), second!] : [back(b, output!)];
}

/** Gradients of q, k and v. */
export function fusedBackward(
  b: Block,
  values: AttentionValues,
  attrs: FusedAttrs,
  saved: { statistics: Value; output: Value; dOutput: Value },
): [dq: Value, dk: Value, dv: Value] {
  const { q, k, v } = values;
  const operands = [q, k, v, saved.statistics, saved.dOutput, saved.output, ...lengths(b, values)];
  const results = [transposed(q), transposed(k), transposed(v), SCRATCH];
  const [dq, dk, dv] = hlo.customCall(b, BACKWARD, operands, results, {
    backendConfig: config(values, attrs, BACKWARD_PRODUCTS),
    flops: flopsOf(values, 5),
    operandLayouts: operands.map(minorToMajor),
    resultLayouts: [HEADS_INSIDE, HEADS_INSIDE, HEADS_INSIDE, [0]],
  });
  return [back(b, dq!), back(b, dk!), back(b, dv!)];
}
