/** Rematerialisation: keep a function's inputs for the backward pass, not what it computed on the way. */
import { activeCompiler } from '../compiler';
import { isRecording } from '../vjp';

/**
 * The same function, whose intermediate values are recomputed in the backward pass instead of kept: less memory
 * for more arithmetic. Values and gradients do not change; gradients of gradients are not supported. It has an effect
 * inside a compiled function; elsewhere it is `fn`.
 */
export function checkpoint<A extends unknown[], R>(fn: (...args: A) => R): (...args: A) => R {
  return (...args) => {
    const compiler = activeCompiler();
    return compiler?.isTracing() && isRecording() ? compiler.checkpoint(fn, args) : fn(...args);
  };
}
