/** `checkpoint` in the program being traced. */
import {
  customVjp,
  flatten,
  isFloat,
  isRecording,
  type TreeDef,
  unflatten,
  vjp,
  withFreshTape,
} from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import { currentFrame } from '../trace/frame';
import { withFreeTensors } from '../trace/values';

/** `fn(...args)` while gradients are recorded: the backward pass computes it again. */
export function tracedCheckpoint<A extends unknown[], R>(fn: (...args: A) => R, args: A): R {
  const { tensors, def } = flatten(args, 'checkpoint: arguments');
  const { trace } = currentFrame()!;
  let structure: TreeDef | undefined;
  // Run unrecorded, as in the backward pass to come, so that what fn reads from outside is known beforehand.
  const { result, free, others } = withFreeTensors(() =>
    withFreshTape(() =>
      tf.tidy(() => {
        const flat = flatten(fn(...args), 'checkpoint: result');
        structure = flat.def;
        return flat.tensors;
      }),
    ),
  );
  const inside = new Set(tensors.map((tensor) => tensor.id));
  const outside = free.filter((tensor) => !inside.has(tensor.id));
  for (const tensor of [...outside, ...others]) trace.keep(tensor);
  const floats = tensors.filter(isFloat);
  const outputs = customVjp(
    [...floats, ...outside],
    (save) => {
      save([...tensors]);
      return result;
    },
    (dys, saved) => {
      if (isRecording()) throw new Error('checkpoint: gradients of its gradients are not supported');
      // The barrier keeps XLA from finding that the values were computed before, and orders them after dys.
      const held = tf.engine().runKernel('XlaBarrier', { ...[...saved, ...dys] } as never) as tf.Tensor[];
      const again = held.slice(0, saved.length);
      return vjp(
        () => flatten(fn(...(unflatten(def, again) as A))).tensors,
        [...again.filter(isFloat), ...outside],
        held.slice(saved.length),
      );
    },
  );
  return unflatten(structure!, outputs) as R;
}
