import type { PjrtClient } from './client';
import type { PjrtDevice } from './device';
import { type ElementType, elementBytes, elementCount, formatShape } from './element-types';
import { invalid } from './errors';

/**
 * An array in a device's memory. It stays until `dispose()`; it may not hold its value yet (execution is
 * asynchronous), and whatever uses it waits by itself.
 */
export class PjrtBuffer {
  /** @internal 0 once disposed. */
  handle: number;

  /** @internal */
  constructor(
    readonly client: PjrtClient,
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
    return this.isDisposed || this.client.api.call('Buffer_IsDeleted', 4, [this.handle]).getBool(3);
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
    const { bytes, event } = this.startRead(operation, target);
    await this.client.guard(this.client.events.wait(event, operation, [bytes, this]), this.device, true);
    return bytes;
  }

  /** The same, blocking. */
  toHostSync(target?: ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const operation = 'PjrtBuffer.toHostSync';
    const { bytes, event } = this.startRead(operation, target);
    this.client.guardSync(this.device, () => this.client.events.waitSync(event, operation), true);
    return bytes;
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
    this.client.release(handle, this);
  }

  toString(): string {
    return `PjrtBuffer(${formatShape(this)} on ${this.device})`;
  }

  /** @internal The handle, or an error naming the operation. */
  use(operation: string): number {
    if (this.isDisposed) throw invalid(operation, `${this} has been disposed.`);
    return this.handle;
  }

  private startRead(operation: string, target: ArrayBufferView<ArrayBuffer> | undefined) {
    const handle = this.use(operation);
    const size = this.byteSize;
    if (target !== undefined && target.byteLength !== size) {
      throw invalid(operation, `${formatShape(this)} has ${size} bytes, the target ${target.byteLength}.`);
    }
    const bytes =
      target === undefined
        ? new Uint8Array(new ArrayBuffer(size))
        : new Uint8Array(target.buffer, target.byteOffset, size);
    const address = size === 0 ? 0 : this.client.api.native.addressOf(bytes);
    if (size === 0) return { bytes, event: 0 };
    const words = this.client.guardSync(
      this.device,
      () => this.client.api.call('Buffer_ToHostBuffer', 7, [handle, 0, address, size], operation),
      true,
    );
    return { bytes, event: words.get(6) };
  }
}
