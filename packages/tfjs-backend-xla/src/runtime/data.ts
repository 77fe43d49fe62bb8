/** What a tensor's dataId is on this backend. */
import type { PjrtBuffer } from '@flow-grpo/pjrt';
import type { Sharding } from '@flow-grpo/tfjs-jit/backend';
import type * as tf from '@tensorflow/tfjs-core';
import { type Block, byteSize, type ElementType, numElements, type Value } from '../stablehlo';

let moves = 0;

/** How often values have moved to another layout so far, their tensors staying. */
export const movesSoFar = (): number => moves;

/** The values of a tensor: on the host, on one device, over several, or a value of a program being traced. */
export class DeviceData {
  refs = 1;
  /** Values on the host; kept until the device has them, longer when they are few. */
  host: tf.BackendValues | undefined;
  /** Stored bytes that wait for their upload: what fromBytes was given. */
  bytes: Uint8Array | undefined;
  /** One buffer; or, with `sharding`, one for each device of the mesh. */
  buffers: readonly PjrtBuffer[] | undefined;
  sharding: Sharding | undefined;
  /** Copies on the devices of a mesh, of data that has no sharding of its own. */
  copies: readonly PjrtBuffer[] | undefined;
  /** While traced: the layout it is known to have, an argument's or one that was asked for. */
  constraint: Sharding | undefined;
  /** Set while traced: the value and the block that it belongs to. */
  value: Value | undefined;
  block: Block | undefined;
  /** Its values were only planned: see `runtime/ahead.ts`. */
  unvalued = false;
  /** Not counted by tfjs' leak check. */
  hidden = false;
  /** Programs that take this tensor as a captured parameter. */
  holders = 0;
  /** Why the values are gone, for the error of whoever still asks. */
  gone: string | undefined;

  constructor(
    readonly shape: readonly number[],
    readonly dtype: tf.DataType,
    /** How elements are stored; bf16 and f16 are float32 to tfjs. */
    readonly element: ElementType,
  ) {}

  get byteSize(): number {
    return numElements(this.shape) * byteSize(this.element);
  }

  /** How the values lie over devices, where that is known. */
  get layout(): Sharding | undefined {
    return this.sharding ?? this.constraint;
  }

  /** Takes the values and the layout of another, which has none then; programs that read this one are traced anew. */
  takeFrom(other: DeviceData): void {
    const { buffers, sharding, unvalued } = other;
    other.buffers = undefined;
    this.release('was moved');
    this.gone = undefined;
    Object.assign(this, { buffers, sharding, unvalued });
    moves++;
  }

  /** Drops all values; `why` completes "the tensor …". */
  release(why: string): void {
    this.gone = why;
    for (const buffer of this.buffers ?? []) buffer.dispose();
    for (const buffer of this.copies ?? []) buffer.dispose();
    this.buffers = undefined;
    this.copies = undefined;
    this.host = undefined;
    this.bytes = undefined;
    this.value = undefined;
    this.block = undefined;
  }
}

const ELEMENTS: Record<string, ElementType> = { float32: 'f32', int32: 'i32', bool: 'i1', complex64: 'c64' };

/** The element type that a tfjs dtype has unless told otherwise; undefined for strings. */
export const elementOf = (dtype: tf.DataType): ElementType | undefined => ELEMENTS[dtype];

/** The tfjs dtype of an element type. */
export function dtypeOf(element: ElementType): tf.DataType {
  switch (element) {
    case 'f32':
    case 'bf16':
    case 'f16':
      return 'float32';
    case 'i32':
      return 'int32';
    case 'i1':
      return 'bool';
    case 'c64':
      return 'complex64';
    default:
      throw new Error(`a kernel gave ${element}, which is not a tfjs dtype`);
  }
}
