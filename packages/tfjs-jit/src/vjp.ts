/** Vector-Jacobian products of functions with several inputs and outputs, on tfjs-core's tape. */
import * as tf from '@tensorflow/tfjs-core';
import { activeCompiler } from './compiler';
import { CONVERT, runKernel } from './kernels';

interface EngineState {
  activeTape: unknown;
  gradientDepth: number;
  kernelDepth: number;
}

interface EngineInternals {
  state: EngineState;
  isTapeOn(): boolean;
  runKernelFunc(params: {
    forwardFunc: (backend: unknown, save: (tensors: tf.Tensor[]) => void) => tf.Tensor[];
    backwardsFunc: (dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]) => Record<string, () => tf.Tensor>;
    inputs: Record<string, tf.Tensor>;
    attrs?: object;
  }): tf.Tensor[];
}

const engine = () => tf.engine() as unknown as EngineInternals;

export const isFloat = (tensor: tf.Tensor): boolean => tensor.dtype === 'float32';

/** Whether operations are recorded for a gradient now. */
export const isRecording = (): boolean => engine().isTapeOn();

/** Runs `f` as if no gradient were being recorded around it, so that it may take its own. */
export function withFreshTape<T>(f: () => T): T {
  const { state } = engine();
  const { activeTape, gradientDepth, kernelDepth } = state;
  state.gradientDepth = 0;
  state.kernelDepth = 0;
  try {
    return f();
  } finally {
    Object.assign(state, { activeTape, gradientDepth, kernelDepth });
  }
}

/**
 * Gradients of Σ ⟨f()ᵢ, dysᵢ⟩ with respect to `xs`, zero where there is no dependence. Outputs that are not float
 * are left out. An output in a narrow storage takes its gradient in that storage.
 */
export function vjp(
  f: () => readonly tf.Tensor[],
  xs: readonly tf.Tensor[],
  dys: readonly tf.Tensor[],
): tf.Tensor[] {
  if (xs.length === 0) return [];
  const take = () => {
    const { grads } = tf.engine().gradients(
      () => {
        const terms = f().flatMap((y, i) => (isFloat(y) ? [pairing(y, dys[i]!)] : []));
        return terms.length === 0 ? tf.scalar(0) : terms.reduce((a, b) => tf.add(a, b));
      },
      [...xs],
      undefined,
      true,
    );
    return xs.map((x, i) => grads[i] ?? tf.zerosLike(x));
  };
  // In a backward pass the engine holds the outer tape although it does not record: keep it from being replaced.
  return engine().state.gradientDepth > 0 ? take() : withFreshTape(take);
}

/** Stands for ⟨y, dy⟩, a number that nothing looks at: only its gradient with respect to `y` counts. */
function pairing(y: tf.Tensor, dy: tf.Tensor): tf.Tensor {
  const given = storedLike(dy, y);
  return customVjp(
    [y],
    () => [tf.scalar(0)],
    () => [tf.clone(given)], // tfjs disposes of gradients that it adds up
  )[0]!;
}

/** `dy` stored as `y` is: what follows from a wide gradient would be computed wide. In float16 a small one would be 0. */
export function storedLike(dy: tf.Tensor, y: tf.Tensor): tf.Tensor {
  const compiler = activeCompiler();
  if (!compiler || !isFloat(dy) || !isFloat(y)) return dy;
  const storage = compiler.storageOf(y);
  return storage === 'float16' || compiler.storageOf(dy) === storage
    ? dy
    : runKernel(CONVERT, { x: dy }, { storage });
}

/**
 * An operation with its own gradient, several inputs and several outputs.
 *
 * @param inputs Float tensors that may need gradients.
 * @param forward Runs unrecorded.
 * @param backward Gradients of the inputs, given those of all outputs and what was saved.
 */
export function customVjp(
  inputs: readonly tf.Tensor[],
  forward: (save: (tensors: tf.Tensor[]) => void) => tf.Tensor[],
  backward: (dys: tf.Tensor[], saved: tf.Tensor[]) => tf.Tensor[],
): tf.Tensor[] {
  return engine().runKernelFunc({
    inputs: Object.fromEntries(inputs.map((x, i) => [i, x])),
    forwardFunc: (_, save) => forward(save),
    backwardsFunc: (dy, saved) => {
      const grads = backward(Array.isArray(dy) ? dy : [dy], saved);
      return Object.fromEntries(grads.map((grad, i) => [i, () => grad]));
    },
  });
}
