/** Rematerialisation: keep a function's inputs for the backward pass, not what it computed on the way. */
import * as tf from '@tensorflow/tfjs-core';
import { isXla } from '../active';
import { customVjp, isFloat, isRecording, vjp } from '../grad/vjp';
import { flatten, type TreeDef, unflatten } from '../pytree';
import { currentFrame, isTracing, withFreshTape } from '../trace/frame';
import { withFreeTensors } from '../trace/values';

/**
 * The same function, whose intermediate values are computed again in the backward pass instead of kept: less memory
 * for more arithmetic. Values and gradients do not change; gradients of gradients are not supported. It has an effect
 * inside jit on XLA; elsewhere it is `fn`.
 */
export function checkpoint<A extends unknown[], R>(fn: (...args: A) => R): (...args: A) => R {
  return (...args) => (isXla() && isTracing() && isRecording() ? rematerialized(fn, args) : fn(...args));
}

function rematerialized<A extends unknown[], R>(fn: (...args: A) => R, args: A): R {
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
