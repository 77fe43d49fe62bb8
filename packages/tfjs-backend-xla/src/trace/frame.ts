/** A program being traced, and the blocks inside it. */
import { type Mesh, meshKey } from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { DeviceData } from '../runtime/data';
import { type Attributes, type Block, type ElementType, Module, type Value } from '../stablehlo';

/** One block: the function itself, or the body of a loop. */
export interface Frame {
  readonly trace: Trace;
  readonly block: Block;
  readonly parent: Frame | undefined;
  /** Constants made in this block, by their text. */
  readonly literals: Map<string, Value>;
  /** Set for a block written per device, which may use nothing from around it. */
  readonly perDevice?: PerDeviceBlock | undefined;
}

export interface PerDeviceBlock {
  readonly mesh: Mesh;
  /** The value in the block of a captured tensor; absent where it may read none. */
  readonly capture?: ((outside: Value) => Value) | undefined;
}

/** A tensor from outside the traced function; a variable is read anew at each call. */
export type Capture = { readonly data: DeviceData } | { readonly variable: tf.Variable };

/** A program that held these is gone: those that nobody else has are freed. */
export function releaseCaptures(captures: readonly Capture[]): void {
  for (const capture of captures) {
    if (!('data' in capture)) continue;
    capture.data.holders--;
    if (capture.data.holders === 0 && capture.data.refs <= 0) capture.data.release('has been disposed');
  }
}

/** Tensors made from now on have this id or a larger one. */
export const nextTensorId = (): number =>
  (tf.engine() as unknown as { nextTensorId(): number }).nextTensorId();

type MutableArgument = Value & { attributes?: Attributes };

/** The module under construction; its arguments grow as tensors are captured. */
export class Trace {
  readonly module: Module;
  readonly root: Frame;
  readonly captures: Capture[] = [];
  /** The mesh of the sharded tensors met so far. */
  mesh: Mesh | undefined;
  /** Called with every tensor that an operation reads. */
  readonly readers = new Set<(tensor: tf.Tensor) => void>();
  private channel = 0;
  private readonly firstTensor = nextTensorId();
  private readonly kept: tf.Tensor[] = [];
  private readonly args: MutableArgument[];
  private readonly captured = new Map<object, Value>();

  constructor(readonly name: string) {
    this.module = new Module(name.replace(/^[^A-Za-z_]|[^\w]/g, '_') || 'program');
    const { block, args } = this.module.func('main', []);
    this.args = args;
    this.root = { trace: this, block, parent: undefined, literals: new Map() };
  }

  /** Adds an argument to the function. */
  argument(shape: readonly number[], dtype: ElementType): Value {
    const value: MutableArgument = { id: `%arg${this.args.length}`, shape: [...shape], dtype };
    this.args.push(value);
    return value;
  }

  /** Arguments and captured tensors, in order. */
  get parameters(): readonly Value[] {
    return this.args;
  }

  setAttributes(argument: Value, attributes: Attributes): void {
    const mutable = argument as MutableArgument;
    mutable.attributes = { ...mutable.attributes, ...attributes };
  }

  /** The parameter that stands for a captured tensor, added once. */
  capture(source: Capture, data: DeviceData, shape = data.shape): Value {
    const identity = 'data' in source ? source.data : source.variable;
    let value = this.captured.get(identity);
    if (!value) {
      value = this.argument(shape, data.element);
      this.captured.set(identity, value);
      this.captures.push(source);
      // From now on: what the traced function makes of host values is disposed before the trace ends.
      if ('data' in source) source.data.holders++;
    }
    return value;
  }

  /** Lets go of the captured tensors, for a trace that came to nothing. */
  abandon(): void {
    releaseCaptures(this.captures);
  }

  /** A number for one exchange between devices. */
  nextChannel(): number {
    return ++this.channel;
  }

  /** Keeps a tensor through tidies until the trace ends: a backward pass still to come reads it. */
  keep(tensor: tf.Tensor): void {
    if (tensor.kept || tensor instanceof tf.Variable) return;
    tf.keep(tensor);
    this.kept.push(tensor);
  }

  /** Lets go of what `keep` kept: what the traced function made is disposed, the rest is its owner's again. */
  end(): void {
    for (const tensor of this.kept) {
      tensor.kept = false;
      if (tensor.id >= this.firstTensor) tensor.dispose();
    }
  }

  /** Remembers the mesh; a program has one. */
  useMesh(mesh: Mesh): void {
    if (this.mesh && meshKey(this.mesh) !== meshKey(mesh)) {
      throw new Error(
        `${this.name}: tensors of two meshes meet (${meshKey(this.mesh)} and ${meshKey(mesh)})`,
      );
    }
    this.mesh ??= mesh;
  }
}

let frame: Frame | undefined;

/** The block that operations append to now; undefined outside of tracing. */
export const currentFrame = (): Frame | undefined => frame;

/** Whether a jitted function is being traced. */
export const isTracing = (): boolean => frame !== undefined;

/** Runs `f` with operations appended to `inner`. */
export function withFrame<T>(inner: Frame | undefined, f: () => T): T {
  const outer = frame;
  frame = inner;
  try {
    return f();
  } finally {
    frame = outer;
  }
}

/** Whether a value of this block may be used now. */
export function isVisible(block: Block): boolean {
  for (let at = frame; at; at = at.perDevice ? undefined : at.parent) if (at.block === block) return true;
  return false;
}

/** The per-device block that operations append to now, if any. */
export function perDeviceBlock(): PerDeviceBlock | undefined {
  for (let at = frame; at; at = at.parent) if (at.perDevice) return at.perDevice;
  return undefined;
}

/** Its mesh. */
export const perDeviceMesh = (): Mesh | undefined => perDeviceBlock()?.mesh;

/** Runs `f` with host-made randomness refused: its numbers would be the same at every call of the program. */
export function withoutHostRandomness<T>(name: string, f: () => T): T {
  const { random } = Math;
  Math.random = () => {
    throw new Error(
      `${name}: tf.randomNormal, tf.randomUniform, dropout without a seed and Math.random would be frozen into the compiled program; use random.normal(key, shape) of @flow-grpo/tfjs-jit`,
    );
  };
  try {
    return f();
  } finally {
    Math.random = random;
  }
}
