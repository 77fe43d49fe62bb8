import type { DataType, TypedArray } from '@tensorflow/tfjs-core';
import type { Block, Value } from '../stablehlo';

export type Inputs = Readonly<Record<string, Value>>;
/** A kernel's attributes as tfjs-core passes them; each lowering knows its own. */
export type Attrs = Readonly<Record<string, unknown>>;

/** What is known of an input before anything runs: its shape and, while they lie on the host, its values. */
export interface KnownInput {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number> | undefined;
}

/** A kernel as StableHLO ops: used for one op at a time and while tracing a whole function. */
export interface Lowering {
  readonly kernelName: string;
  /** Result i lies over devices as input i does. */
  readonly keepsLayout?: boolean;
  /** Throws where values that are on the host do not fit: on the device nothing can. */
  check?(inputs: Readonly<Record<string, KnownInput>>, attrs: Attrs): void;
  lower(b: Block, inputs: Inputs, attrs: Attrs): Value | Value[];
}

/** An array on the host. Strings are UTF-8 bytes, as tfjs-core keeps them. */
export interface HostTensor {
  readonly shape: number[];
  readonly dtype: DataType;
  readonly values: TypedArray | Uint8Array[];
}
export type HostInputs = Readonly<Record<string, HostTensor | readonly HostTensor[]>>;

/** A kernel that runs on the host: its output's shape depends on data, or its data are strings. */
export interface HostKernel {
  readonly kernelName: string;
  host(inputs: HostInputs, attrs: Attrs): HostTensor | HostTensor[];
}

/** Reads attributes with the type that the kernel's contract in tfjs-core promises. */
export const attrsOf = <T>(attrs: Attrs): T => attrs as unknown as T;

export const kernel = (kernelName: string, lower: Lowering['lower']): Lowering => ({ kernelName, lower });

/** A kernel whose result i lies over devices as its input i does. */
export const kernelInPlace = (kernelName: string, lower: Lowering['lower']): Lowering => ({
  kernelName,
  keepsLayout: true,
  lower,
});

/** The input of that name; a kernel called without it is a caller's error. */
export function need(inputs: Inputs, name: string): Value {
  const value = inputs[name];
  if (!value)
    throw new Error(`the kernel needs an input "${name}", got ${Object.keys(inputs).join(', ') || 'none'}`);
  return value;
}

/** Inputs given as a list (AddN, Concat, Pack, Einsum), in order. */
export const listed = (inputs: Inputs): Value[] => Object.values(inputs);
