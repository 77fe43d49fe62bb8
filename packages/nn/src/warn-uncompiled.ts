/** A large model on a backend that compiles nothing is possible, and hardly ever meant. */
import { hasCompiler } from '@flow-grpo/tfjs-jit';
import { countParams, type Params } from './params';

/** Parameters from which on a model is not one that tests and demonstrations use. */
const LARGE = 100_000_000;

let warned = false;

/**
 * Says once, by `console.warn`, that a model of 100 million parameters or more was loaded where operations run one by one in
 * float32, and how to get a backend that compiles.
 */
export function warnIfUncompiled(what: string, params: Params): void {
  if (warned || hasCompiler()) return;
  const count = countParams(params);
  if (count < LARGE) return;
  warned = true;
  console.warn(
    `${what} has ${Math.round(count / 1e6)} million parameters, and the active backend compiles nothing: it will be very slow, in float32. npm install @flow-grpo/tfjs-backend-xla, and await its startXla() before loading.`,
  );
}
