/** `tf.tidy` for functions that answer later. */
import * as tf from '@tensorflow/tfjs-core';

/** What a call of `tidyAsync` made so far. */
type Made = Set<tf.Tensor>;

/** Node's AsyncLocalStorage: what holds in a function and in all that follows from it. */
interface Storage {
  run<T>(made: Made, f: () => T): T;
  getStore(): Made | undefined;
}

/** Sets are cleared of tensors that are gone when they have grown to this size, or to twice what was left. */
const MANY = 4096;

const storage: Storage = asyncStorage() ?? whileSynchronous();

/**
 * Calls `f` and, when it has answered, disposes of the tensors that were made meanwhile, but for those in its result (in arrays
 * and plain records), those kept by `tf.keep`, and variables. In Node these are all that `f` made; elsewhere what it made
 * before its first `await`. A call may run while others do and while its caller goes on: their tensors are left alone.
 *
 * @throws what `f` throws; all that it made is gone then
 */
export async function tidyAsync<T>(f: () => T | Promise<T>): Promise<T> {
  const made: Made = new Set();
  const outer = storage.getStore();
  const stay: Made = new Set();
  followTensors(tf.engine());
  try {
    const result = await storage.run(made, async () => f());
    collect(result, stay);
    return result;
  } finally {
    for (const tensor of made) {
      if (!stay.has(tensor) && !tensor.kept) tensor.dispose();
      else outer?.add(tensor);
    }
  }
}

let limit = MANY;

/** Adds a new tensor to what the running call made. */
function follow(tensor: tf.Tensor): void {
  const made = storage.getStore();
  if (!made) return;
  made.add(tensor);
  if (made.size < limit) return;
  for (const each of made) if (each.isDisposed) made.delete(each);
  limit = Math.max(MANY, 2 * made.size);
}

/** Engines whose new tensors are followed. */
const followed = new WeakSet<object>();

/** All new tensors go through an engine's `trackTensor`. */
function followTensors(engine: ReturnType<typeof tf.engine>): void {
  if (followed.has(engine)) return;
  followed.add(engine);
  const trackTensor = engine.trackTensor.bind(engine);
  engine.trackTensor = (tensor, backend) => {
    trackTensor(tensor, backend);
    follow(tensor);
  };
}

/** Adds the tensors in arrays and plain records. */
function collect(value: unknown, tensors: Made): void {
  if (value instanceof tf.Tensor) tensors.add(value);
  else if (Array.isArray(value)) for (const each of value) collect(each, tensors);
  else if (isRecord(value)) for (const each of Object.values(value)) collect(each, tensors);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Where there is Node or what is like it; this file also runs in browsers, so it is not imported. */
function asyncStorage(): Storage | undefined {
  const { process } = globalThis as {
    process?: { getBuiltinModule?(id: string): { AsyncLocalStorage: new () => Storage } | undefined };
  };
  const hooks = process?.getBuiltinModule?.('node:async_hooks');
  return hooks && new hooks.AsyncLocalStorage();
}

/** Elsewhere: holds until the function returns its promise. */
function whileSynchronous(): Storage {
  let current: Made | undefined;
  return {
    getStore: () => current,
    run(made, f) {
      const outer = current;
      current = made;
      try {
        return f();
      } finally {
        current = outer;
      }
    },
  };
}
