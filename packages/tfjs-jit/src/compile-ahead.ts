/** Programs that are compiled before they are needed, several at once, in the background. */
import type * as tf from '@tensorflow/tfjs-core';
import { activeCompiler, type FloatStorage, type PlannedProgram, requireCompiler } from './compiler';
import { dispose, tidy } from './tree';

/**
 * Calls `f` with nothing computed: every jitted function and every operation in it is traced and compiled in the background,
 * several at a time, and the tensors that it makes have shapes and layouts, but no values. Does nothing on a backend without
 * a compiler.
 *
 * `f` runs once, on this thread. It must not read values nor wait for anything. What it makes is disposed of, its result too,
 * but for what it keeps by tf.keep for another plan. What it donates is gone afterwards, as always: donate what was made
 * inside.
 *
 * @param signal Aborting rejects with its reason at once. No more programs are begun then, and the process may end although
 *   some are being compiled: that cannot be stopped.
 * @returns when all these programs are compiled, what each of them needs; rejects with the first error of a compilation.
 * @throws what `f` throws; the programs that it got to are compiled all the same.
 */
export function compileAhead(
  f: () => unknown,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<readonly PlannedProgram[]> {
  const compiler = activeCompiler();
  if (!compiler) return Promise.resolve([]);
  const { ready, abandon } = compiler.planWork(() => dispose(tidy(f)));
  if (!signal) return ready;
  return new Promise((resolve, reject) => {
    const abort = () => {
      abandon();
      reject(signal.reason);
    };
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    ready.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/**
 * A tensor of this shape that has no values and takes no memory, for functions given to `compileAhead`: the weights of a model
 * that is larger than this machine.
 *
 * @param storage of float32
 */
export function placeholder(
  shape: readonly number[],
  dtype: tf.DataType = 'float32',
  storage?: FloatStorage,
): tf.Tensor {
  return requireCompiler('placeholder: programs without values need').placeholder(shape, dtype, storage);
}

/**
 * Tells `listener` the names of the programs that are being compiled, or loaded from disk, whenever they change; none when
 * there is none. Nothing is told on a backend without a compiler. The returned function ends it.
 */
export function observeCompilations(listener: (names: readonly string[]) => void): () => void {
  return activeCompiler()?.observeCompilations(listener) ?? (() => {});
}

/** Seconds that calls have waited for their programs so far, of the active backend: tracing, compiling and loading. */
export const compileSeconds = (): number => activeCompiler()?.compileSeconds() ?? 0;
