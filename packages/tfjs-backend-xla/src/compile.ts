/** Compiled functions: one XLA executable per signature. */
import type { PjrtBuffer, PjrtExecutable } from '@flow-grpo/pjrt';
import {
  type CompiledFunction,
  type Cost,
  flatten,
  type Lowered,
  matchTree,
  type Sharding,
  type TreeDef,
  unflatten,
} from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import { activeBackend, conform, run, runAsync } from './dispatch';
import { likelySharding, outputSharding, placeInputs } from './parallel/placement';
import { shardingKey } from './parallel/sharding';
import { isPlanning, planned, programsWanted, unvalued } from './runtime/ahead';
import { client } from './runtime/client';
import { waiting } from './runtime/compilations';
import { costOf } from './runtime/cost';
import { DeviceData, movesSoFar } from './runtime/data';
import { executable, executableAsync, inUse } from './runtime/executables';
import { type Capture, releaseCaptures } from './trace/frame';
import { type TracedProgram, traceFunction } from './trace/program';

interface LeafKind {
  readonly shape: readonly number[];
  readonly dtype: tf.DataType;
  readonly element: string;
  readonly sharding: string | undefined;
}

/** One signature of a compiled function. It must not refer to the function, which is collected before it (see `collected`). */
interface Specialization {
  readonly args: TreeDef;
  readonly leaves: readonly LeafKind[];
  readonly program: TracedProgram;
  readonly name: string;
  /**
   * How the captured tensors lay when it was traced, and how often any tensor's values had moved when that was last looked
   * at.
   */
  readonly captured: readonly (string | undefined)[];
  moves: number;
  executable: PjrtExecutable | undefined;
  shardings: readonly (Sharding | undefined)[] | undefined;
}

/** Traced programs that one function keeps. */
const SIGNATURES = 256;
const SIGNATURES_BYTES = 2 ** 26;

/** `fn` as executables: traced once per signature, with tensors that have no values. */
export function compileFunction(
  fn: (...args: unknown[]) => unknown,
  { name, donate }: { readonly name: string; readonly donate: ReadonlySet<number> },
): CompiledFunction {
  /** Those used most recently first. */
  const known: Specialization[] = [];
  let warned = false;

  const specialize = (args: readonly unknown[]): { found: Specialization; tensors: tf.Tensor[] } => {
    for (let i = 0; i < known.length; i++) {
      const found = known[i]!;
      const tensors: tf.Tensor[] = [];
      if (!matchTree(found.args, args, tensors) || !sameLeaves(found.leaves, tensors)) continue;
      if (found.moves !== movesSoFar() && !sameCaptures(found)) {
        known.splice(i, 1);
        releaseCaptures(found.program.captures);
        break;
      }
      if (i > 0) {
        known.splice(i, 1);
        known.unshift(found);
      }
      return { found, tensors };
    }
    const { tensors, def } = flatten(args, `${name}: arguments`);
    const donated = tensorsOf(args, donate);
    const program = waiting(() => traceFunction(name, fn, def, tensors, donated));
    const leaves = tensors.map(leafKind);
    const captured = program.captures.map(layoutOfCapture);
    const [executable, shardings] = [undefined, undefined];
    const moves = movesSoFar();
    const found: Specialization = {
      ...{ args: def, leaves, program, name, captured, moves, executable, shardings },
    };
    known.unshift(found);
    if (known.length > SIGNATURES && !warned) {
      warned = true;
      warnOfSignatures(name);
    }
    forgetOldest(known);
    return { found, tensors };
  };

  const compiled: CompiledFunction = {
    call(args) {
      const { found, tensors } = specialize(args);
      return isPlanning() ? plan(found, tensors) : execute(found, tensors);
    },
    async callAsync(args) {
      const { found, tensors } = specialize(args);
      return isPlanning() ? plan(found, tensors) : executeAsync(found, tensors);
    },
    prepare: async (args) => prepare(specialize(args).found),
    lower(args): Lowered {
      const { found } = specialize(args);
      const { text, flops } = found.program;
      return { text, flops, cost: () => costOfProgram(found) };
    },
  };
  collected.register(compiled, known);
  return compiled;
}

/**
 * Drops the programs used least recently where there are too many: they are traced again when they are called again. One
 * that read tensors from outside stays, since these may be gone.
 */
function forgetOldest(known: Specialization[]): void {
  let bytes = known.reduce((sum, { program }) => sum + program.text.length, 0);
  for (let i = known.length - 1; i > 0 && (known.length > SIGNATURES || bytes > SIGNATURES_BYTES); i--) {
    const { text, captures } = known[i]!.program;
    if (captures.some((capture) => 'data' in capture)) continue;
    bytes -= text.length;
    known.splice(i, 1);
  }
}

function warnOfSignatures(name: string): void {
  process.emitWarning(
    `${name} has been traced for ${SIGNATURES} different arguments, each a program of its own. Pass numbers that change from call to call as tensors (tf.scalar), and round sizes that change.`,
    { type: 'XlaSignaturesWarning' },
  );
}

async function prepare(found: Specialization, isWanted?: () => boolean): Promise<void> {
  const { text, mesh } = found.program;
  if (!found.executable || !inUse(found.executable))
    found.executable = await executableAsync(text, found.name, mesh, isWanted);
}

function load(found: Specialization): PjrtExecutable {
  const { text, mesh, results } = found.program;
  if (!found.executable || !inUse(found.executable))
    found.executable = waiting(() => executable(text, found.name, mesh));
  const compiled = found.executable;
  found.shardings ??= results.map((value, i) => value.sharding ?? outputSharding(value, i, compiled, mesh));
  return compiled;
}

const costOfProgram = (found: Specialization): Cost =>
  costOf(load(found), found.program.flops, found.program.mesh);

/** A run's program and its inputs on the devices; `releaseInputs` is for when it has been handed over. */
function inputsOf(found: Specialization, tensors: readonly tf.Tensor[]) {
  const backend = activeBackend();
  const { program, name } = found;
  const compiled = load(found);
  const data = tensors.map((tensor) => backend.find(tensor.dataId));
  const stored = [...data];
  for (const capture of program.captures) {
    stored.push('data' in capture ? capture.data : backend.find(capture.variable.dataId));
  }
  const inputs = stored.map((each, i) => conform(each, program.parameters[i]!, backend));
  return {
    compiled,
    args: placeInputs(inputs, program.mesh, backend),
    releaseInputs() {
      for (let i = 0; i < inputs.length; i++) if (inputs[i] !== stored[i]) backend.disposeData(inputs[i]!);
      for (const i of program.donated) {
        data[i]!.release(`was donated to ${name}: its memory holds a result now`);
      }
    },
  };
}

function outputsOf(
  { program, shardings }: Specialization,
  rows: readonly PjrtBuffer[][],
  backend = activeBackend(),
): unknown {
  const engine = tf.engine();
  const outputs = program.results.map(({ shape, dtype, tfDtype }, i) => {
    const buffers = rows.length === 1 ? [rows[0]![i]!] : rows.map((row) => row[i]!);
    const result = new DeviceData(shape, tfDtype, dtype);
    result.buffers = buffers as PjrtBuffer[];
    result.sharding = shardings![i];
    return engine.makeTensorFromTensorInfo({
      dataId: backend.adopt(result),
      shape: shape as number[],
      dtype: tfDtype,
    });
  });
  return unflatten(program.output, outputs);
}

function execute(found: Specialization, tensors: readonly tf.Tensor[]): unknown {
  const { compiled, args, releaseInputs } = inputsOf(found, tensors);
  const rows = run(compiled, args, found.name, found.program.flops);
  releaseInputs();
  return outputsOf(found, rows);
}

/** The same, handed over on another thread where the device is the only one: programs of several begin in one order on all. */
async function executeAsync(found: Specialization, tensors: readonly tf.Tensor[]): Promise<unknown> {
  if (client().allDevices.length > 1) return execute(found, tensors);
  const backend = activeBackend(); // by the end it may be another
  const { compiled, args, releaseInputs } = inputsOf(found, tensors);
  const running = runAsync(compiled, args, found.name, found.program.flops);
  releaseInputs();
  return outputsOf(found, await running, backend);
}

/** Asks for the program, and gives results without values. */
function plan(found: Specialization, tensors: readonly tf.Tensor[]): unknown {
  const backend = activeBackend();
  const { program, name } = found;
  planned(found, () => costOfProgram(found), prepare(found, programsWanted()));
  const data = tensors.map((tensor) => backend.find(tensor.dataId));
  for (const [i, each] of data.entries()) {
    const inside = conform(each, program.parameters[i]!, backend);
    if (inside !== each) backend.disposeData(inside);
  }
  const outputs = program.results.map(({ shape, dtype, tfDtype, sharding }) => {
    const layout = sharding ?? likelySharding(shape, program.mesh, data);
    const result = unvalued(shape, { dtype: tfDtype, element: dtype }, layout);
    return tf.engine().makeTensorFromTensorInfo({
      dataId: backend.adopt(result),
      shape: shape as number[],
      dtype: tfDtype,
    });
  });
  for (const i of program.donated) data[i]!.release(`was donated to ${name}: its memory holds a result now`);
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

/** Of a variable, which is read anew at each call, undefined. */
function layoutOfCapture(capture: Capture): string | undefined {
  const layout = 'data' in capture ? capture.data.sharding : undefined;
  return layout && shardingKey(layout);
}

/** Whether no captured tensor has moved since the program was traced. */
function sameCaptures(found: Specialization): boolean {
  found.moves = movesSoFar();
  return found.program.captures.every((capture, i) => layoutOfCapture(capture) === found.captured[i]);
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

/** Captured tensors live as long as the function that reads them: what is held here must not keep it alive. */
const collected = new FinalizationRegistry((known: readonly Specialization[]) => {
  for (const { program } of known) releaseCaptures(program.captures);
});
