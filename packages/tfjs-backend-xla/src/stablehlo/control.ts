import { type Block, op, type Region, region } from './block';
import { describe, fail } from './errors';
import { floatElements } from './flops';
import { type Shape, sameShape, type TensorType, type Value } from './types';

export interface CustomCallOptions {
  /** Text of the target's own configuration, usually JSON. */
  readonly backendConfig?: string;
  readonly apiVersion?: 1 | 2 | 3 | 4;
  readonly hasSideEffect?: boolean;
  /** Minor-to-major axis orders, one for each operand and result. */
  readonly operandLayouts?: readonly (readonly number[])[];
  readonly resultLayouts?: readonly (readonly number[])[];
  readonly attributes?: Readonly<Record<string, string>>;
  /** Floating-point operations of one call. */
  readonly flops?: number;
}

/** Quotes a string for MLIR. */
export const quote = (text: string): string =>
  `"${[...text]
    .map((c) =>
      c === '"' || c === '\\' || c < ' ' ? `\\${c.charCodeAt(0).toString(16).padStart(2, '0')}` : c,
    )
    .join('')}"`;

const layouts = (orders: readonly (readonly number[])[]): string =>
  `[${orders.map((o) => (o.length ? `dense<[${o.join(', ')}]> : tensor<${o.length}xindex>` : 'dense<> : tensor<0xindex>')).join(', ')}]`;

/**
 * Repeats `body` while `condition` holds; both may use surrounding values.
 *
 * @param steps How often, for counting its operations; 1 where that is not known beforehand.
 */
export function whileLoop(
  b: Block,
  init: readonly Value[],
  condition: (b: Block, state: Value[]) => Value,
  body: (b: Block, state: Value[]) => readonly Value[],
  steps = 1,
): Value[] {
  const cond = region(b, init, (inner, state) => {
    const c = condition(inner, state);
    if (c.dtype !== 'i1' || c.shape.length)
      fail('while', `the condition must be an i1 scalar, got ${describe(c)}`);
    return [c];
  });
  return whileOp(b, init, cond, region(b, init, body), steps);
}

/** The same of blocks that are written already. */
export function whileOp(
  b: Block,
  init: readonly Value[],
  condition: Region,
  body: Region,
  steps: number,
): Value[] {
  body.results.forEach((r, i) => {
    const before = init[i];
    if (!before || before.dtype !== r.dtype || !sameShape(before.shape, r.shape))
      fail(
        'while',
        `state ${i} is ${before ? describe(before) : 'absent'} before the body and ${describe(r)} after it`,
      );
  });
  if (body.results.length !== init.length)
    fail('while', `the body returns ${body.results.length} values for a state of ${init.length}`);
  const flops = steps * (condition.flops + body.flops);
  return op(b, 'stablehlo.while', init, init, {}, [condition, body], flops);
}

/** Keeps XLA from moving or merging work across it. */
export function optimizationBarrier(b: Block, xs: readonly Value[]): Value[] {
  if (xs.length === 0) return [];
  return op(b, 'stablehlo.optimization_barrier', xs, xs);
}

/** Random bits from a counter-based generator: [new state, bits]. */
export function rngBitGenerator(
  b: Block,
  state: Value,
  shape: Shape,
  dtype: 'ui8' | 'ui16' | 'ui32' | 'ui64',
  algorithm: 'THREE_FRY' | 'PHILOX' | 'DEFAULT' = 'THREE_FRY',
): [Value, Value] {
  const [next, bits] = op(b, 'stablehlo.rng_bit_generator', [state], [state, { shape: [...shape], dtype }], {
    rng_algorithm: `#stablehlo<rng_algorithm ${algorithm}>`,
  });
  return [next!, bits!];
}

/** Calls something that XLA knows by name. */
export function customCall(
  b: Block,
  target: string,
  operands: readonly Value[],
  results: readonly TensorType[],
  options: CustomCallOptions = {},
): Value[] {
  const attributes = {
    call_target_name: quote(target),
    has_side_effect: `${options.hasSideEffect ?? false}`,
    api_version: `${options.apiVersion ?? 2} : i32`,
    ...(options.backendConfig !== undefined && { backend_config: quote(options.backendConfig) }),
    ...(options.operandLayouts && { operand_layouts: layouts(options.operandLayouts) }),
    ...(options.resultLayouts && { result_layouts: layouts(options.resultLayouts) }),
    ...options.attributes,
  };
  return op(b, 'stablehlo.custom_call', operands, results, attributes, [], options.flops);
}

/** Functions of XLA's own higher-order set, kept as one op: `erf`, `top_k`, `lgamma` … */
export function chlo(
  b: Block,
  name: string,
  operands: readonly Value[],
  results: readonly TensorType[],
  attributes: Readonly<Record<string, string>> = {},
): Value[] {
  const flops = results.reduce((sum, result) => sum + floatElements(result), 0);
  return op(b, `chlo.${name}`, operands, results, attributes, [], flops);
}
