import { isMainThread } from 'node:worker_threads';
import type { PjrtApi } from './api';
import type { PjrtDevice } from './device';
import { type ElementType, elementBytes, elementCount, formatShape } from './element-types';
import { invalid } from './errors';
import type { EventWatcher } from './events';

/** What a buffer needs of the client that it belongs to. */
export interface BufferOwner {
  readonly isDisposed: boolean;
  /** @internal */
  readonly api: PjrtApi;
  /** @internal */
  readonly events: EventWatcher;
  /** @internal */
  guard<T>(work: Promise<T>, device?: PjrtDevice, late?: boolean): Promise<T>;
  /** @internal */
  guardSync<T>(device: PjrtDevice | undefined, work: () => T, late?: boolean): T;
  /** @internal */
  checkDevice(device: PjrtDevice, operation: string): void;
  /** @internal */
  adopt(handle: number, device: PjrtDevice, elementType: ElementType, dims: readonly number[]): PjrtBuffer;
  /** @internal */
  release(handle: number, buffer?: PjrtBuffer): void;
}

/**
 * An array in a device's memory. It stays until `dispose()`; it may not hold its value yet (execution is
 * asynchronous), and whatever uses it waits by itself.
 */
export class PjrtBuffer {
  readonly #own = true;

  /** @internal Whether `value` is a buffer and not a look-alike, whose handle the plugin would follow anywhere. */
  static isBuffer(value: unknown): value is PjrtBuffer {
    return typeof value === 'object' && value !== null && #own in value;
  }

  /** @internal 0 once disposed. */
  handle: number;
  /** Calls on other threads that read it; while there are any its memory stays, disposed of or not. */
  private readers = 0;
  private left = 0;

  /** @internal */
  constructor(
    readonly client: BufferOwner,
    handle: number,
    readonly device: PjrtDevice,
    readonly elementType: ElementType,
    readonly dims: readonly number[],
  ) {
    this.handle = handle;
  }

  /** Bytes of the value in row-major order on the host. */
  get byteSize(): number {
    return elementCount(this.dims) * elementBytes(this.elementType);
  }

  get isDisposed(): boolean {
    return this.handle === 0 || this.client.isDisposed;
  }

  /** True when the memory is gone: disposed, or given to an executable (donated). */
  get isDeleted(): boolean {
    return this.isDisposed || this.isTaken;
  }

  /** @internal Whether calls on other threads read it. */
  get isRead(): boolean {
    return this.readers > 0;
  }

  /** @internal Whether a program has taken the memory; of one that was disposed of while others read it too. */
  get isTaken(): boolean {
    const handle = this.handle || this.left;
    return handle === 0 || this.client.api.call('Buffer_IsDeleted', 4, [handle]).getBool(3);
  }

  /** Bytes that the device holds for it, padding included. */
  onDeviceBytes(): number {
    const handle = this.use('PjrtBuffer.onDeviceBytes');
    return this.client.api.call('Buffer_OnDeviceSizeInBytes', 4, [handle]).get(3);
  }

  /**
   * Resolves when the value has been computed, with when that was noticed (`performance.now()`; at once where it is
   * there already); rejects when computing it failed.
   */
  async ready(): Promise<number> {
    const handle = this.use('PjrtBuffer.ready');
    const event = this.client.api.call('Buffer_ReadyEvent', 4, [handle]).get(3);
    return this.client.guard(this.client.events.wait(event, 'PjrtBuffer.ready', this), this.device, true);
  }

  /** Blocks until the value has been computed. */
  readySync(): void {
    const handle = this.use('PjrtBuffer.readySync');
    this.client.guardSync(
      this.device,
      () => {
        const event = this.client.api.call('Buffer_ReadyEvent', 4, [handle]).get(3);
        this.client.events.waitSync(event, 'PjrtBuffer.readySync');
      },
      true,
    );
  }

  /**
   * Reads the value, row-major, into `target` (or fresh memory) without blocking the event loop. `target` must have
   * exactly `byteSize` bytes.
   */
  async toHost(target?: ArrayBufferView<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    const operation = 'PjrtBuffer.toHost';
    const bytes = this.readTarget(operation, target);
    const staging = this.staging(bytes);
    try {
      const event = this.startRead(operation, bytes, staging);
      await this.client.guard(this.client.events.wait(event, operation, [bytes, this]), this.device, true);
      if (staging !== undefined) this.client.api.native.copy(staging, bytes.byteLength, bytes);
    } finally {
      if (staging !== undefined) this.client.api.native.free(staging);
    }
    return bytes;
  }

  /** The same, blocking. */
  toHostSync(target?: ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const operation = 'PjrtBuffer.toHostSync';
    const bytes = this.readTarget(operation, target);
    const staging = this.staging(bytes);
    try {
      const event = this.startRead(operation, bytes, staging);
      this.client.guardSync(this.device, () => this.client.events.waitSync(event, operation), true);
      if (staging !== undefined) this.client.api.native.copy(staging, bytes.byteLength, bytes);
    } finally {
      if (staging !== undefined) this.client.api.native.free(staging);
    }
    return bytes;
  }

  /**
   * Where a worker reads to: `Worker.terminate()` frees its memory while the plugin may still write, also between the two calls
   * of a blocking read. This stays then.
   */
  private staging({ byteLength }: Uint8Array): number | undefined {
    return isMainThread ? undefined : this.client.api.native.allocate(byteLength);
  }

  /** @internal Whether computing the value has failed; waits for it. */
  holdsError(): boolean {
    if (this.isDeleted) return false;
    try {
      this.readySync();
      return false;
    } catch {
      return true;
    }
  }

  /** A copy on another device of the same client. */
  copyToDevice(device: PjrtDevice): PjrtBuffer {
    const operation = 'PjrtBuffer.copyToDevice';
    const handle = this.use(operation);
    this.client.checkDevice(device, operation);
    if (device === this.device) {
      throw invalid(operation, `the buffer is on ${device} already.`);
    }
    const copy = this.client.guardSync(
      device,
      () => this.client.api.call('Buffer_CopyToDevice', 5, [handle, device.handle], operation).get(4),
      true,
    );
    return this.client.adopt(copy, device, this.elementType, this.dims);
  }

  /** Frees the memory; once is enough, more does no harm. */
  dispose(): void {
    const { handle } = this;
    if (handle === 0) return;
    this.handle = 0;
    if (this.readers > 0) this.left = handle;
    else this.client.release(handle, this);
  }

  /** @internal Keeps the memory although it may be disposed of, until as many calls of `letGo`. */
  keep(): void {
    this.readers++;
  }

  /** @internal */
  letGo(): void {
    this.readers--;
    if (this.readers > 0 || this.left === 0) return;
    this.client.release(this.left, this);
    this.left = 0;
  }

  toString(): string {
    return `PjrtBuffer(${formatShape(this)} on ${this.device})`;
  }

  /** @internal The handle, or an error naming the operation. */
  use(operation: string): number {
    if (this.isDisposed) throw invalid(operation, `${this} has been disposed.`);
    return this.handle;
  }

  /** The memory that a read fills: `target`, or fresh. */
  private readTarget(
    operation: string,
    target: ArrayBufferView<ArrayBuffer> | undefined,
  ): Uint8Array<ArrayBuffer> {
    this.use(operation);
    const size = this.byteSize;
    if (target === undefined) return new Uint8Array(new ArrayBuffer(size));
    if (!ArrayBuffer.isView(target))
      throw invalid(operation, 'the target must be a typed array or a DataView.');
    if (target.byteLength !== size) {
      throw invalid(operation, `${formatShape(this)} has ${size} bytes, the target ${target.byteLength}.`);
    }
    return new Uint8Array(target.buffer, target.byteOffset, size);
  }

  /** Starts a read into `bytes`, or to the native address `staging`; returns its event. */
  private startRead(operation: string, bytes: Uint8Array, staging?: number): number {
    const { native } = this.client.api;
    const size = bytes.byteLength;
    if (size === 0) return 0;
    const args = [this.use(operation), 0, staging ?? native.addressOf(bytes), size];
    return this.client
      .guardSync(this.device, () => this.client.api.call('Buffer_ToHostBuffer', 7, args, operation), true)
      .get(6);
  }
}

/** @internal */
export const { isBuffer } = PjrtBuffer;
