/** From a JavaScript function to the text of a program. */
import {
  flatten,
  type Mesh,
  type Sharding,
  type TreeDef,
  unflatten,
  withFreshTape,
} from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from '../backend';
import { chosenSharding, programSharding, shardingAttribute } from '../parallel/placement';
import { dumpProgram } from '../runtime/program-dump';
import { type Attributes, type ElementType, sameShape } from '../stablehlo';
import { type Capture, Trace, withFrame, withoutHostRandomness } from './frame';
import { tracedValue } from './values';

export interface ProgramResult {
  readonly shape: readonly number[];
  readonly dtype: ElementType;
  readonly tfDtype: tf.DataType;
  /** How the function asked for it to lie on the devices; undefined leaves it to XLA. */
  readonly sharding: Sharding | undefined;
}

export interface TracedProgram {
  readonly text: string;
  /** Floating-point operations of one call, all devices together. */
  readonly flops: number;
  readonly output: TreeDef;
  /** Shapes of all parameters: arguments, then captured tensors. */
  readonly parameters: readonly (readonly number[])[];
  readonly results: readonly ProgramResult[];
  /** Parameters behind the arguments. */
  readonly captures: readonly Capture[];
  /** Indices of argument tensors that are gone after a call. */
  readonly donated: readonly number[];
  readonly mesh: Mesh | undefined;
}

/** Runs `fn` once with value-less tensors like `tensors` and writes down what it computes. */
export function traceFunction(
  name: string,
  fn: (...args: unknown[]) => unknown,
  args: TreeDef,
  tensors: readonly tf.Tensor[],
  donated: ReadonlySet<number>,
): TracedProgram {
  const backend = tf.backend() as XlaBackend;
  const trace = new Trace(name);
  const data = tensors.map((tensor) => backend.find(tensor.dataId));
  const parameters = data.map((each, i) => {
    if (each.dtype === 'string')
      throw new Error(`${name}: string tensors cannot be arguments of a jitted function`);
    if (each.sharding) trace.useMesh(each.sharding.mesh);
    const value = trace.argument(tensors[i]!.shape, each.element);
    return value;
  });
  const traced = withFreshTape(() =>
    withoutHostRandomness(name, () =>
      withFrame(trace.root, () => {
        let output: TreeDef | undefined;
        let values: {
          value: ReturnType<typeof tracedValue>;
          dtype: tf.DataType;
          sharding: Sharding | undefined;
        }[] = [];
        const run = () => {
          const engine = tf.engine();
          const inputs = parameters.map((value, i) =>
            engine.makeTensorFromTensorInfo(backend.tracer(value, tensors[i]!.dtype, data[i]!.sharding)),
          );
          const result = fn(...(unflatten(args, inputs) as unknown[]));
          if (result instanceof Promise) throw new Error(`${name}: a jitted function cannot be async`);
          const flat = flatten(result, `${name}: result`);
          output = flat.def;
          values = flat.tensors.map((tensor) => ({
            value: tracedValue(tensor, backend),
            dtype: tensor.dtype,
            sharding: backend.find(tensor.dataId).constraint,
          }));
        };
        try {
          tf.tidy(run);
        } catch (error) {
          trace.abandon();
          throw error;
        } finally {
          trace.end();
        }
        return { output: output!, values };
      }),
    ),
  );
  const captured = trace.captures.map((each) =>
    'data' in each ? each.data : backend.find(each.variable.dataId),
  );
  const all = trace.parameters;
  programSharding(trace, all, [...data, ...captured]);
  const results = traced.values.map(({ value, dtype, sharding }) => ({
    shape: value.shape,
    dtype: value.dtype,
    tfDtype: dtype,
    sharding: sharding ?? chosenSharding(value, trace.mesh, [...data, ...captured]),
  }));
  const taken = new Set<number>();
  for (const i of donated) {
    const parameter = parameters[i]!;
    const target = results.findIndex(
      (each, j) => !taken.has(j) && each.dtype === parameter.dtype && sameShape(each.shape, parameter.shape),
    );
    if (target < 0) continue;
    taken.add(target);
    trace.setAttributes(parameter, { 'tf.aliasing_output': `${target} : i32` });
  }
  const attributes = results.map(({ sharding }): Attributes | undefined =>
    sharding ? shardingAttribute(sharding) : undefined,
  );
  trace.module.finish(
    'main',
    traced.values.map(({ value }) => value),
    attributes,
  );
  const text = trace.module.toString();
  dumpProgram(name, text);
  return {
    text,
    flops: trace.module.flops('main'),
    output: traced.output,
    parameters: all.map(({ shape }) => shape),
    results,
    captures: trace.captures,
    donated: [...donated],
    mesh: trace.mesh,
  };
}
