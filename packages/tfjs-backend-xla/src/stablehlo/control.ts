import { describe, fail } from './core';
import { floatElements } from './flops';
import { IndexingBuilder } from './indexing';
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

/** Loops, branches, calls, random bits, barriers. */
export class ControlBuilder extends IndexingBuilder {
  /**
   * Repeats `body` while `condition` holds; both may use surrounding values.
   *
   * @param steps How often, for counting its operations; 1 where that is not known beforehand.
   */
  while(
    init: readonly Value[],
    condition: (b: this, state: Value[]) => Value,
    body: (b: this, state: Value[]) => readonly Value[],
    steps = 1,
  ): Value[] {
    const cond = this.region(init, (inner, state) => {
      const c = condition(inner, state);
      if (c.dtype !== 'i1' || c.shape.length)
        fail('while', `the condition must be an i1 scalar, got ${describe(c)}`);
      return [c];
    });
    const loop = this.region(init, body);
    loop.results.forEach((r, i) => {
      const before = init[i];
      if (!before || before.dtype !== r.dtype || !sameShape(before.shape, r.shape))
        fail(
          'while',
          `state ${i} is ${before ? describe(before) : 'absent'} before the body and ${describe(r)} after it`,
        );
    });
    if (loop.results.length !== init.length)
      fail('while', `the body returns ${loop.results.length} values for a state of ${init.length}`);
    return this.op('stablehlo.while', init, init, {}, [cond, loop], steps * (cond.flops + loop.flops));
  }

  /** Runs one of two branches. */
  if(
    condition: Value,
    onTrue: (b: this) => readonly Value[],
    onFalse: (b: this) => readonly Value[],
  ): Value[] {
    const yes = this.region([], onTrue);
    const no = this.region([], onFalse);
    if (
      yes.results.length !== no.results.length ||
      yes.results.some(
        (r, i) => r.dtype !== no.results[i]!.dtype || !sameShape(r.shape, no.results[i]!.shape),
      )
    )
      fail('if', 'both branches must return the same types');
    const flops = Math.max(yes.flops, no.flops);
    return this.op('stablehlo.if', [condition], yes.results, {}, [yes, no], flops);
  }

  /** Calls a finished function of the module. */
  call(name: string, args: readonly Value[]): Value[] {
    const signature = this.module.signature(name);
    if (
      args.length !== signature.arguments.length ||
      args.some(
        (a, i) =>
          a.dtype !== signature.arguments[i]!.dtype || !sameShape(a.shape, signature.arguments[i]!.shape),
      )
    )
      fail(
        'call',
        `@${name} takes (${signature.arguments.map(describe).join(', ')}), got (${args.map(describe).join(', ')})`,
      );
    return this.op('func.call', args, signature.results, { callee: `@${name}` }, [], this.module.flops(name));
  }

  /** Keeps XLA from moving or merging work across it. */
  optimizationBarrier(xs: readonly Value[]): Value[] {
    if (xs.length === 0) return [];
    return this.op('stablehlo.optimization_barrier', xs, xs);
  }

  /** Random bits from a counter-based generator: [new state, bits]. */
  rngBitGenerator(
    state: Value,
    shape: Shape,
    dtype: 'ui8' | 'ui16' | 'ui32' | 'ui64',
    algorithm: 'THREE_FRY' | 'PHILOX' | 'DEFAULT' = 'THREE_FRY',
  ): [Value, Value] {
    const [next, bits] = this.op(
      'stablehlo.rng_bit_generator',
      [state],
      [state, { shape: [...shape], dtype }],
      {
        rng_algorithm: `#stablehlo<rng_algorithm ${algorithm}>`,
      },
    );
    return [next!, bits!];
  }

  /** Calls something that XLA knows by name. */
  customCall(
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
    return this.op('stablehlo.custom_call', operands, results, attributes, [], options.flops);
  }

  /** Functions of XLA's own higher-order set, kept as one op: `erf`, `top_k`, `lgamma` … */
  chlo(
    name: string,
    operands: readonly Value[],
    results: readonly TensorType[],
    attributes: Readonly<Record<string, string>> = {},
  ): Value[] {
    const flops = results.reduce((sum, result) => sum + floatElements(result), 0);
    return this.op(`chlo.${name}`, operands, results, attributes, [], flops);
  }
}
