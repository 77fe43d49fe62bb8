/** What an algorithm measures of the weights, and how far it has moved since an epoch's first update. */
import { tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';

/** What an algorithm measures at the points of some images, by name: a record for each group of points. */
export type Measured = readonly Readonly<Record<string, tf.Tensor>>[];

/** What was measured now, less what was measured before; disposes of the former. */
export function changesSince(before: readonly Measured[], now: readonly Measured[]): Measured[] {
  try {
    return tree.tidy(() =>
      tree.zip([now, before] as [Measured[], Measured[]], ([after, start]) => tf.sub(after!, start!)),
    );
  } finally {
    tree.dispose(now);
  }
}

/** Changes of an epoch's first update: none, of the shapes that those of later updates have. */
export function noChanges(like: readonly Measured[] | undefined, passes: number): Measured[] | undefined {
  const first = like?.[0];
  return first && tree.tidy(() => Array.from({ length: passes }, () => tree.map(first, zerosAlike)));
}

const zerosAlike = (value: tf.Tensor) => tf.sub(value, value);
