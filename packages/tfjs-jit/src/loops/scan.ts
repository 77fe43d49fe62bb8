/** A loop over the leading axis of its inputs, compiled once however many steps it has. */
import * as tf from '@tensorflow/tfjs-core';
import { activeCompiler } from '../compiler';
import { flatten, tidy, unflatten } from '../tree';
import { isRecording } from '../vjp';
import { checkSameTensors } from './check';

export interface ScanOptions {
  /** Number of steps; needed when `xs` holds no tensor, checked against the leading axis otherwise. */
  length?: number;
  /**
   * Only the `y`s of `count` steps from `first` (int32 scalar) are kept, in memory for so many; all by default. Such a scan
   * has no gradient.
   */
  keep?: { readonly first: tf.Tensor; readonly count: number };
}

/**
 * Runs `[carry, y] = f(carry, x)` over the leading axis of every tensor in `xs` and stacks the `y`s.
 *
 * `f` must keep the carry's structure, shapes and dtypes. Differentiable, once: the backward pass keeps
 * the carry of each step and recomputes the step. Inside a compiled function it is one loop in the program, whatever the number
 * of steps; elsewhere it is a loop in JavaScript.
 *
 * @param xs Pytree of tensors `[length, ...]`; static leaves reach `f` unchanged. May be null with `length`.
 * @returns the last carry, and the `y`s (those to `keep`) stacked along a new first axis.
 * @throws when leading axes differ, when nothing gives the length, or when the carry changes.
 */
export function scan<C, X, Y>(
  f: (carry: C, x: X) => [C, Y],
  carry: C,
  xs: X,
  options: ScanOptions = {},
): [C, Y] {
  const length = scanLength(flatten(xs, 'xs').tensors, options.length);
  const { keep } = options;
  if (keep && !(Number.isInteger(keep.count) && keep.count >= 1 && keep.count <= length)) {
    throw new Error(`scan: keep.count must be from 1 to the ${length} steps, not ${keep.count}`);
  }
  if (keep && isRecording()) throw new Error('scan: with keep it has no gradient');
  const compiler = activeCompiler();
  if (compiler?.isTracing()) return compiler.scan(f, carry, xs, length, keep);
  return unrolledScan(f, carry, xs, length, keep);
}

/** The number of steps that `xs` and the option agree on. */
function scanLength(xs: readonly tf.Tensor[], length: number | undefined): number {
  for (const [i, x] of xs.entries()) {
    if (x.rank === 0) throw new Error(`scan: tensor ${i} of xs is a scalar, it needs a leading axis`);
    length ??= x.shape[0]!;
    if (x.shape[0] !== length) {
      throw new Error(`scan: tensor ${i} of xs has leading axis ${x.shape[0]}, expected ${length}`);
    }
  }
  if (length === undefined) throw new Error('scan: xs holds no tensor, pass { length }');
  if (!Number.isInteger(length) || length < 1) {
    throw new Error(`scan: length must be a positive integer, not ${length}`);
  }
  return length;
}

function unrolledScan<C, X, Y>(
  f: (carry: C, x: X) => [C, Y],
  carry: C,
  xs: X,
  length: number,
  keep: ScanOptions['keep'],
): [C, Y] {
  // As the compiled loop's, a range that reaches beyond the steps is one of the last steps.
  const first = keep ? Math.min(Math.max(keep.first.dataSync()[0]!, 0), length - keep.count) : 0;
  const count = keep?.count ?? length;
  return tidy((): [C, Y] => {
    const { tensors, def } = flatten(xs, 'xs');
    // tfjs-core 4.22 cannot take gradients of unstacking a single slice, should its own gradient be registered again.
    const slices = tensors.map((x) => (length === 1 ? [tf.squeeze(x, [0])] : tf.unstack(x)));
    let state = carry;
    const ys: tf.Tensor[][] = [];
    let structure: ReturnType<typeof flatten>['def'] | undefined;
    for (let i = 0; i < length; i++) {
      const x = unflatten(
        def,
        slices.map((slice) => slice[i]!),
      ) as X;
      const [next, y] = f(state, x);
      checkSameTensors('scan: the carry', flatten(state).tensors, flatten(next).tensors);
      state = next;
      const flat = flatten(y, 'y');
      structure = flat.def;
      if (i >= first && i < first + count) ys.push(flat.tensors);
    }
    const stacked = ys[0]!.map((_, leaf) => tf.stack(ys.map((step) => step[leaf]!)));
    return [state, unflatten(structure!, stacked) as Y];
  });
}
