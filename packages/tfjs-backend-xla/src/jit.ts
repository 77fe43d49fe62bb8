/** Whole functions as one executable. */
import type { PjrtBuffer, PjrtExecutable } from '@flow-grpo/pjrt';
import * as tf from '@tensorflow/tfjs-core';
import { isXla } from './active';
import { activeBackend, conform, run } from './dispatch';
import { customVjp, isFloat, isRecording, vjp } from './grad/vjp';
import { outputSharding, placeInputs } from './parallel/placement';
import { type Sharding, shardingKey } from './parallel/sharding';
import { flatten, matchTree, type TreeDef, unflatten } from './pytree';
import { DeviceData } from './runtime/data';
import { executable, executableAsync } from './runtime/executables';
import { isTracing, releaseCaptures } from './trace/frame';
import { type TracedProgram, traceFunction } from './trace/program';

export interface JitOptions {
  /** Positions of arguments whose buffers the result may overwrite; they cannot be used afterwards. */
  donate?: readonly number[];
  /** Name in error messages, lowered text and profiles. */
  name?: string;
}

/** What a compiled function needs. Bytes are those of one device, by XLA's account. */
export interface Cost {
  /**
   * Floating-point operations of one call, all devices together, counted in the program that XLA is given, by XLA's
   * rules: one an element, two a multiply-add. Unlike XLA's own count it multiplies the steps of `scan`, knows fused
   * attention, and is there with every plugin. What `scan` and `checkpoint` compute again counts again; the body of
   * `whileLoop` counts once; what a mask hides counts.
   */
  flops: number;
  /** XLA's count after its optimizations, on one device, loops once; undefined where the plugin does not count. */
  xlaFlops: number | undefined;
  /** Bytes read and written by one call, likewise. */
  bytesAccessed: number | undefined;
  argumentBytes: number;
  outputBytes: number;
  /** Outputs that lie in donated arguments. */
  aliasedBytes: number;
  temporaryBytes: number;
}

/** A traced function: its StableHLO text, the operations in it, and its cost, for which it is compiled. */
export interface Lowered {
  readonly text: string;
  /** As in {@link Cost}, without compiling. */
  readonly flops: number;
  cost(): Cost;
}

export interface Jitted<A extends unknown[], R> {
  (...args: A): R;
  /** Traces and compiles for arguments like these without blocking the event loop and without running. */
  compile(...args: A): Promise<void>;
  /** Traces for arguments like these. Only on XLA. */
  lower(...args: A): Lowered;
}

interface LeafKind {
  readonly shape: readonly number[];
  readonly dtype: tf.DataType;
  readonly element: string;
  readonly sharding: string | undefined;
}

/** One signature of a jitted function. */
interface Specialization {
  readonly args: TreeDef;
  readonly leaves: readonly LeafKind[];
  readonly program: TracedProgram;
  readonly name: string;
  executable: PjrtExecutable | undefined;
  shardings: readonly (Sharding | undefined)[] | undefined;
}

/**
 * Makes `fn`, a function of pytrees of tensors, one XLA executable per signature: shapes, dtypes, storage types and
 * shardings of the tensors, and the values of all other leaves.
 *
 * `fn` runs once a signature, with tensors that have no values; what else it does (logging, counters) happens then
 * only. Tensors it reads from outside become parameters and stay alive with the function; `tf.variable`s are read
 * anew at every call, but cannot be assigned inside. Gradients may be taken inside, or of the jitted function from
 * outside. A jitted function called in another one becomes part of it. On other backends the result is `fn` in a
 * `tf.tidy`.
 *
 * @throws at tracing: when `fn` reads values, draws random numbers on the host, or returns something else than a
 * pytree; at a call: when an argument was disposed or donated before.
 */
export function jit<A extends unknown[], R>(fn: (...args: A) => R, options: JitOptions = {}): Jitted<A, R> {
  const name = options.name || fn.name || 'jit';
  const donate = new Set(options.donate ?? []);
  for (const position of donate) {
    if (!Number.isInteger(position) || position < 0)
      throw new Error(`${name}: cannot donate argument ${position}`);
  }
  const known: Specialization[] = [];
  const inline = (...args: A): R => tf.tidy(() => fn(...args) as tf.TensorContainer) as R;

  const specialize = (args: A): { found: Specialization; tensors: tf.Tensor[] } => {
    for (let i = 0; i < known.length; i++) {
      const found = known[i]!;
      const tensors: tf.Tensor[] = [];
      if (!matchTree(found.args, args, tensors) || !sameLeaves(found.leaves, tensors)) continue;
      if (i > 0) {
        known.splice(i, 1);
        known.unshift(found);
      }
      return { found, tensors };
    }
    const { tensors, def } = flatten(args, `${name}: arguments`);
    const donated = tensorsOf(args, donate);
    const program = traceFunction(name, fn as (...args: unknown[]) => unknown, def, tensors, donated);
    const leaves = tensors.map(leafKind);
    const found = { args: def, leaves, program, name, executable: undefined, shardings: undefined };
    known.unshift(found);
    return { found, tensors };
  };

  const call = (...args: A): R => {
    if (!isXla() || isTracing()) return inline(...args);
    if (isRecording()) return throughTape(args);
    const { found, tensors } = specialize(args);
    return execute(found, tensors) as R;
  };
  collected.register(call, known);

  // Under tf.grads the forward and the backward pass are programs of their own; the latter computes forward anew.
  let forward: ((...args: A) => R) | undefined;
  let backward: Jitted<[args: unknown, dys: tf.Tensor[]], tf.Tensor[]> | undefined;
  const throughTape = (args: A): R => {
    forward ??= donate.size === 0 ? call : jit(fn, { name });
    backward ??= jit(
      (again: unknown, dys: tf.Tensor[]) => {
        const xs = flatten(again).tensors.filter(isFloat);
        return vjp(() => flatten(fn(...(again as A))).tensors, xs, dys);
      },
      { name: `${name}_backward` },
    );
    const { tensors, def } = flatten(args, `${name}: arguments`);
    let structure: TreeDef | undefined;
    const outputs = customVjp(
      tensors.filter(isFloat),
      (save) => {
        save(tensors);
        const flat = flatten(forward!(...args));
        structure = flat.def;
        return flat.tensors;
      },
      (dys, saved) => backward!(unflatten(def, saved), dys),
    );
    return unflatten(structure!, outputs) as R;
  };

  return Object.assign(call, {
    compile: async (...args: A): Promise<void> => {
      if (!isXla()) return;
      const { found } = specialize(args);
      const { text, mesh } = found.program;
      found.executable ??= await executableAsync(text, name, mesh?.size);
    },
    lower: (...args: A): Lowered => {
      if (!isXla())
        throw new Error(`${name}.lower() needs the XLA backend: await tf.setBackend('xla') first`);
      const { found } = specialize(args);
      const { text, flops } = found.program;
      return { text, flops, cost: () => costOf(load(found), flops) };
    },
  });
}

function load(found: Specialization): PjrtExecutable {
  const { text, mesh, results } = found.program;
  found.executable ??= executable(text, found.name, mesh?.size);
  const compiled = found.executable;
  found.shardings ??= results.map((value, i) => value.sharding ?? outputSharding(value, i, compiled, mesh));
  return compiled;
}

function execute(found: Specialization, tensors: readonly tf.Tensor[]): unknown {
  const backend = activeBackend();
  const { program, name } = found;
  const compiled = load(found);
  const data = tensors.map((tensor) => backend.find(tensor.dataId));
  const stored = [...data];
  for (const capture of program.captures) {
    stored.push('data' in capture ? capture.data : backend.find(capture.variable.dataId));
  }
  const inputs = stored.map((each, i) => conform(each, program.parameters[i]!, backend));
  const rows = run(compiled, placeInputs(inputs, program.mesh, backend), name);
  for (let i = 0; i < inputs.length; i++) if (inputs[i] !== stored[i]) backend.disposeData(inputs[i]!);
  for (const i of program.donated) data[i]!.release(`was donated to ${name}: its memory holds a result now`);
  const engine = tf.engine();
  const outputs = program.results.map(({ shape, dtype, tfDtype }, i) => {
    const buffers = rows.length === 1 ? [rows[0]![i]!] : rows.map((row) => row[i]!);
    const result = new DeviceData(shape, tfDtype, dtype);
    result.buffers = buffers as PjrtBuffer[];
    result.sharding = found.shardings![i];
    return engine.makeTensorFromTensorInfo({
      dataId: backend.adopt(result),
      shape: shape as number[],
      dtype: tfDtype,
    });
  });
  return unflatten(program.output, outputs);
}

function leafKind(tensor: tf.Tensor): LeafKind {
  const { element, sharding } = activeBackend().find(tensor.dataId);
  return { shape: tensor.shape, dtype: tensor.dtype, element, sharding: sharding && shardingKey(sharding) };
}

function sameLeaves(leaves: readonly LeafKind[], tensors: readonly tf.Tensor[]): boolean {
  const backend = activeBackend();
  for (let i = 0; i < leaves.length; i++) {
    const leaf = leaves[i]!;
    const tensor = tensors[i]!;
    const { shape } = tensor;
    if (tensor.dtype !== leaf.dtype || shape.length !== leaf.shape.length) return false;
    if (shape !== leaf.shape) {
      for (let d = 0; d < shape.length; d++) if (shape[d] !== leaf.shape[d]) return false;
    }
    const data = backend.find(tensor.dataId);
    if (data.element !== leaf.element) return false;
    if ((data.sharding && shardingKey(data.sharding)) !== leaf.sharding) return false;
  }
  return true;
}

/** Indices, among all tensors of the arguments, of those in donated positions. */
function tensorsOf(args: readonly unknown[], donate: ReadonlySet<number>): Set<number> {
  const found = new Set<number>();
  let at = 0;
  args.forEach((arg, i) => {
    const count = flatten(arg).tensors.length;
    if (donate.has(i)) for (let j = 0; j < count; j++) found.add(at + j);
    at += count;
  });
  return found;
}

/** Captured tensors live as long as the function that reads them. */
const collected = new FinalizationRegistry((known: readonly Specialization[]) => {
  for (const { program } of known) releaseCaptures(program.captures);
});

function costOf(compiled: PjrtExecutable, flops: number): Cost {
  const costs = compiled.costAnalysis();
  const memory = compiled.memoryStats();
  return {
    flops,
    xlaFlops: costs.flops,
    bytesAccessed: costs['bytes accessed'],
    argumentBytes: memory?.arguments ?? 0,
    outputBytes: memory?.outputs ?? 0,
    aliasedBytes: memory?.aliased ?? 0,
    temporaryBytes: memory?.temporaries ?? 0,
  };
}
