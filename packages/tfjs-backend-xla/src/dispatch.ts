/** Runs kernels: appended to the program being traced, or each as a small program of its own. */
import type { PjrtExecutable } from '@flow-grpo/pjrt';
import type { Mesh, Sharding } from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from './backend';
import type { Attrs, Inputs, Lowering } from './kernels/kernel';
import {
  chosenSharding,
  likelySharding,
  outputSharding,
  placeInputs,
  programSharding,
  shardingAttribute,
} from './parallel/placement';
import { shardingKey } from './parallel/sharding';
import { isPlanning, planned, programsWanted, unvalued } from './runtime/ahead';
import { client } from './runtime/client';
import { waiting } from './runtime/compilations';
import { costOf } from './runtime/cost';
import { DeviceData, dtypeOf } from './runtime/data';
import { executable, executableAsync, inUse, named } from './runtime/executables';
import { Lru } from './runtime/lru';
import { observed, observedAsync } from './runtime/observe';
import { type Block, type ElementType, hlo, sameShape, type Value } from './stablehlo';
import { currentFrame, Trace } from './trace/frame';
import { tracedValue } from './trace/values';

/** The backend instance, as kernels get it. */
export const activeBackend = (): XlaBackend => tf.backend() as XlaBackend;

/** Registers a lowering as a tfjs kernel of the backend of that name. */
export function registerLowering(lowering: Lowering, backendName: string): void {
  tf.registerKernel({
    kernelName: lowering.kernelName,
    backendName,
    kernelFunc: ({ inputs, attrs, backend }) =>
      runLowering(
        lowering,
        inputs as Record<string, tf.TensorInfo>,
        (attrs ?? {}) as Attrs,
        backend as XlaBackend,
      ),
  });
}

/** Runs a lowering as the kernel of that name. */
export function runLowering(
  lowering: Lowering,
  inputs: Record<string, tf.TensorInfo>,
  attrs: Attrs,
  backend: XlaBackend,
): tf.TensorInfo | tf.TensorInfo[] {
  const present = Object.entries(inputs).filter(([, tensor]) => tensor != null);
  if (lowering.check) {
    const known = present.map(([name, { dataId, shape }]) => {
      const values = backend.find(dataId).host as ArrayLike<number> | undefined;
      return [name, { shape, values }] as const;
    });
    lowering.check(Object.fromEntries(known), attrs);
  }
  if (!currentFrame()) return runEager(lowering, present, attrs, backend);
  const values = Object.fromEntries(present.map(([key, tensor]) => [key, tracedValue(tensor, backend)]));
  const results = lowered(lowering, currentFrame()!.block, values, attrs);
  const layout = (i: number) =>
    lowering.keepsLayout ? backend.find(present[i]![1].dataId).layout : undefined;
  if (Array.isArray(results))
    return results.map((v: Value, i) => backend.tracer(v, dtypeOf(v.dtype), layout(i)));
  const value = results as Value;
  return backend.tracer(value, dtypeOf(value.dtype), layout(0));
}

/** A kernel's results in a program. Where StableHLO refuses what it makes, the error names the kernel as well. */
function lowered(
  lowering: Lowering,
  block: Block,
  inputs: Inputs,
  attrs: Attrs,
): ReturnType<Lowering['lower']> {
  try {
    return lowering.lower(block, inputs, attrs);
  } catch (error) {
    // The lowerings' own messages, and tfjs-core's, say what they are about.
    const refused = error instanceof Error && error.message.startsWith('stablehlo.');
    throw refused ? named(error, lowering.kernelName) : error;
  }
}

/** A kernel as a program that is not compiled yet. */
interface TracedKernel {
  readonly text: string;
  readonly single: boolean;
  readonly outputs: readonly { shape: readonly number[]; element: ElementType; dtype: tf.DataType }[];
  readonly mesh: Mesh | undefined;
  /** The layouts that results are given; XLA chooses the others. */
  readonly chosen: readonly (Sharding | undefined)[];
}

interface EagerProgram extends Omit<TracedKernel, 'text' | 'chosen'> {
  readonly executable: PjrtExecutable;
  readonly shardings: readonly (Sharding | undefined)[];
}

/** By kernel, shapes and attributes. An entry is small: its program is kept, and let go, by `runtime/executables.ts`. */
const programs = new Lru<string, EagerProgram>({ count: 8192, bytes: 2 ** 26 });

function runEager(
  lowering: Lowering,
  inputs: [string, tf.TensorInfo][],
  attrs: Attrs,
  backend: XlaBackend,
): tf.TensorInfo | tf.TensorInfo[] {
  let key = lowering.kernelName;
  const data: DeviceData[] = [];
  for (const [name, tensor] of inputs) {
    const each = backend.find(tensor.dataId);
    if (each.value) {
      throw new Error(
        `${lowering.kernelName}: its input ${name} was made inside a jitted function; return it from there to use it outside`,
      );
    }
    if (each.dtype === 'string') throw new Error(`${lowering.kernelName} does not take string tensors`);
    data.push(each);
    key += `|${name}:${each.element}[${tensor.shape}]`;
    if (each.shape.length !== tensor.shape.length || each.shape.some((d, i) => d !== tensor.shape[i])) {
      key += `<[${each.shape}]`;
    }
    if (each.sharding) key += `@${shardingKey(each.sharding)}`;
  }
  key += `|${attributeKey(attrs)}`;
  if (isPlanning()) return planEager(lowering, inputs, data, attrs, backend);
  let program = programs.get(key);
  if (!program || !inUse(program.executable)) {
    program = waiting(() => compileEager(lowering, inputs, data, attrs));
    programs.add(key, program, key.length);
  }
  const { mesh, outputs, shardings } = program;
  const args = placeInputs(data, mesh, backend);
  const rows = run(program.executable, args, lowering.kernelName);
  const infos = outputs.map(({ shape, element, dtype }, i) => {
    const result = new DeviceData(shape, dtype, element);
    result.buffers = rows.map((row) => row[i]!);
    result.sharding = shardings[i];
    return { dataId: backend.adopt(result), shape: [...shape], dtype };
  });
  return program.single ? infos[0]! : infos;
}

/** Executes, with the operation's name in what XLA has to complain about. */
export function run(
  program: PjrtExecutable,
  args: Parameters<PjrtExecutable['execute']>[0],
  name: string,
  flops?: number,
): ReturnType<PjrtExecutable['execute']> {
  try {
    return observed(
      name,
      () => program.execute(args),
      () => client().platformName !== 'cpu',
      flops,
    );
  } catch (error) {
    throw named(error, name);
  }
}

/** The same, handed over on another thread. */
export async function runAsync(
  program: PjrtExecutable,
  args: Parameters<PjrtExecutable['execute']>[0],
  name: string,
  flops: number,
): ReturnType<PjrtExecutable['executeAsync']> {
  try {
    return await observedAsync(name, () => program.executeAsync(args), flops);
  } catch (error) {
    throw named(error, name);
  }
}

/** Asks for a kernel's program, and gives results without values. */
function planEager(
  lowering: Lowering,
  inputs: [string, tf.TensorInfo][],
  data: readonly DeviceData[],
  attrs: Attrs,
  backend: XlaBackend,
): tf.TensorInfo | tf.TensorInfo[] {
  const { text, single, mesh, outputs, chosen } = traceKernel(lowering, inputs, data, attrs);
  const name = lowering.kernelName;
  const cost = () => costOf(executable(text, name, mesh), 0, mesh);
  planned({ name }, cost, executableAsync(text, name, mesh, programsWanted()));
  const infos = outputs.map(({ shape, element, dtype }, i) => {
    const result = unvalued(shape, { dtype, element }, chosen[i] ?? likelySharding(shape, mesh, data));
    return { dataId: backend.adopt(result), shape: [...shape], dtype };
  });
  return single ? infos[0]! : infos;
}

function compileEager(
  lowering: Lowering,
  inputs: [string, tf.TensorInfo][],
  data: readonly DeviceData[],
  attrs: Attrs,
): EagerProgram {
  const { text, chosen, ...traced } = traceKernel(lowering, inputs, data, attrs);
  const { mesh, outputs } = traced;
  const program = executable(text, lowering.kernelName, mesh);
  const shardings = outputs.map((value, i) => chosen[i] ?? outputSharding(value, i, program, mesh));
  return { ...traced, executable: program, shardings };
}

function traceKernel(
  lowering: Lowering,
  inputs: [string, tf.TensorInfo][],
  data: readonly DeviceData[],
  attrs: Attrs,
): TracedKernel {
  const trace = new Trace(lowering.kernelName);
  const { block } = trace.root;
  const args = data.map((each) => trace.argument(each.shape, each.element));
  const values = Object.fromEntries(
    inputs.map(([name, { shape }], i) => {
      const value = args[i]!;
      const same = shape.length === value.shape.length && shape.every((d, j) => d === value.shape[j]);
      return [name, same ? value : hlo.reshape(block, value, shape)];
    }),
  );
  const made = lowered(lowering, block, values, attrs);
  const single = !Array.isArray(made);
  const results = (single ? [made] : made) as readonly Value[];
  programSharding(trace, args, data);
  const { mesh } = trace;
  const chosen = results.map((value, i) =>
    lowering.keepsLayout ? data[i]!.sharding : chosenSharding(value, mesh, data),
  );
  trace.module.finish(
    'main',
    results,
    chosen.map((sharding) => sharding && shardingAttribute(sharding)),
  );
  return {
    text: trace.module.toString(),
    single,
    mesh,
    outputs: results.map(({ shape, dtype }) => ({ shape, element: dtype, dtype: dtypeOf(dtype) })),
    chosen,
  };
}

/** Equal for equal attributes; unlike JSON it keeps NaN, infinities and −0 apart. */
function attributeKey(value: unknown): string {
  switch (typeof value) {
    case 'number':
      return Object.is(value, -0) ? '-0' : `${value}`;
    case 'string':
      return JSON.stringify(value);
    case 'object': {
      if (value === null) return 'null';
      if (Array.isArray(value) || ArrayBuffer.isView(value)) {
        let text = '[';
        for (const item of value as unknown as Iterable<unknown>) text += `${attributeKey(item)},`;
        return `${text}]`;
      }
      let text = '{';
      for (const key in value) text += `${key}:${attributeKey((value as Record<string, unknown>)[key])},`;
      return `${text}}`;
    }
    default:
      return String(value);
  }
}

/**
 * The data with the shape that a program takes. Tensors made by tf.reshape share their data under another shape:
 * these are copied; release the copy after the run.
 */
export function conform(data: DeviceData, shape: readonly number[], backend: XlaBackend): DeviceData {
  if (sameShape(data.shape, shape)) return data;
  const lowering: Lowering = { kernelName: 'Reshape', lower: (b, { x }) => hlo.reshape(b, x!, shape) };
  const x = { dataId: data, shape: [...data.shape], dtype: data.dtype };
  const { dataId } = runEager(lowering, [['x', x]], { shape }, backend) as tf.TensorInfo;
  return backend.find(dataId);
}
