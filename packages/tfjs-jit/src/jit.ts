/** Whole functions as one program. */
import type * as tf from '@tensorflow/tfjs-core';
import {
  activeCompiler,
  type CompiledFunction,
  type Compiler,
  type Lowered,
  requireCompiler,
} from './compiler';
import { flatten, type TreeDef, tidy, unflatten } from './tree';
import { customVjp, isFloat, isRecording, vjp } from './vjp';

export interface JitOptions {
  /** Positions of arguments whose buffers the result may overwrite; they cannot be used afterwards. */
  donate?: readonly number[];
  /** Name in error messages, lowered text and profiles. */
  name?: string;
}

export interface Jitted<A extends unknown[], R> {
  (...args: A): R;
  /**
   * The same without blocking while the program is handed over to the device, which for a long program on a GPU takes nearly as
   * long as it runs. Arguments are read at once: they may be disposed of while the call is under way. Not recorded for gradients.
   */
  async(...args: A): Promise<R>;
  /** Traces and compiles for arguments like these without blocking the event loop and without running. */
  compile(...args: A): Promise<void>;
  /** Traces for arguments like these. Only with a compiler. */
  lower(...args: A): Lowered;
}

/**
 * Makes `fn`, a function of pytrees of tensors, one compiled program per signature: shapes, dtypes, storage types and
 * shardings of the tensors, and the values of all other leaves.
 *
 * `fn` runs once per signature, with tensors that have no values; what else it does (logging, counters) happens then
 * only. (With more than 256 signatures, the least recently used are traced again when they recur.) Tensors it reads from
 * outside become parameters and stay alive with the function; `tf.variable`s are read anew at every call, but cannot be
 * assigned inside. Gradients may be taken inside, or of the jitted function from outside. A jitted function called in another
 * one becomes part of it. On a backend without a compiler it is `fn` in a `tf.tidy`.
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
  let made: { readonly by: Compiler; readonly compiled: CompiledFunction } | undefined;
  const compiledBy = (compiler: Compiler): CompiledFunction => {
    if (made?.by !== compiler) {
      const compiled = compiler.compile(fn as (...args: unknown[]) => unknown, { name, donate });
      made = { by: compiler, compiled };
    }
    return made.compiled;
  };

  const call = (...args: A): R => {
    const compiler = activeCompiler();
    if (!compiler || compiler.isTracing()) return tidy(() => fn(...args));
    if (isRecording()) return throughTape(args);
    return compiledBy(compiler).call(args) as R;
  };

  // Under tf.grads the forward and the backward pass are programs of their own; the latter recomputes the forward pass.
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
    async: async (...args: A): Promise<R> => {
      const compiler = activeCompiler();
      if (!compiler || compiler.isTracing()) return call(...args);
      return (await compiledBy(compiler).callAsync(args)) as R;
    },
    compile: async (...args: A): Promise<void> => {
      const compiler = activeCompiler();
      if (compiler) await compiledBy(compiler).prepare(args);
    },
    lower: (...args: A): Lowered => compiledBy(requireCompiler(`${name}.lower() needs`)).lower(args),
  });
}
