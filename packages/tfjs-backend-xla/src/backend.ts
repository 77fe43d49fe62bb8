/** Storage of tensors on XLA devices. */
import type { Sharding } from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import { assemble, wholeParts } from './parallel/parts';
import { client } from './runtime/client';
import { DeviceData, elementOf } from './runtime/data';
import { bytesOf, valuesOf } from './runtime/host-values';
import { numElements, type Value } from './stablehlo';
import { currentFrame, isTracing } from './trace/frame';

/** Values up to this many elements stay on the host too: they become literals of programs. */
const SMALL = 64;

interface EngineInternals {
  state: { tensorInfo: WeakMap<object, { backend: unknown }> };
  moveData(backend: tf.KernelBackend, dataId: object): void;
}

function refuseUnvalued({ unvalued }: DeviceData): void {
  if (unvalued)
    throw new Error('the tensor has no values: it was made inside of compileAhead, where nothing runs');
}

export class XlaBackend extends tf.KernelBackend {
  /** Data that tensors of other backends brought with them: their ids are foreign objects. */
  private readonly foreign = new WeakMap<object, DeviceData>();
  private count = 0;
  private narrowed = 0;
  private bytes = 0;

  /** What is known of a dataId; data that left for another backend and came back is found as foreign. */
  private lookup(dataId: object): DeviceData | undefined {
    return dataId instanceof DeviceData && dataId.gone === undefined
      ? dataId
      : (this.foreign.get(dataId) ?? (dataId instanceof DeviceData ? dataId : undefined));
  }

  /** The data behind a dataId, fetched from another backend if it is there. */
  find(dataId: object): DeviceData {
    const data = this.lookup(dataId);
    if (data && data.gone === undefined) return data;
    const engine = tf.engine() as unknown as EngineInternals;
    const info = engine.state.tensorInfo.get(dataId);
    if (info && info.backend !== this) {
      engine.moveData(this, dataId);
      return this.find(dataId);
    }
    throw new Error(`the tensor ${data?.gone ?? 'is not known to the XLA backend: it was disposed'}`);
  }

  /** Registers new data and gives it as a dataId. */
  adopt(data: DeviceData): DeviceData {
    this.count++;
    this.bytes += data.byteSize;
    if (data.element === 'bf16' || data.element === 'f16') this.narrowed += data.byteSize;
    return data;
  }

  /** Leaves data out of tfjs' leak check: what an operation keeps for its gradient beside its outputs. */
  hide(dataId: object): void {
    const data = this.find(dataId);
    if (!data.hidden) this.count--;
    data.hidden = true;
  }

  /** A tensor of a value in the block being traced; `layout` is how it lies over devices, where that is known. */
  tracer(value: Value, dtype: tf.DataType, layout?: Sharding): tf.TensorInfo {
    const data = new DeviceData(value.shape, dtype, value.dtype);
    data.value = value;
    data.block = currentFrame()?.block;
    data.constraint = layout;
    return { dataId: this.adopt(data), shape: [...value.shape], dtype };
  }

  override write(values: tf.BackendValues, shape: number[], dtype: tf.DataType): object {
    const data = new DeviceData([...shape], dtype, elementOf(dtype) ?? 'ui8');
    data.host = values;
    return this.adopt(data);
  }

  override move(
    dataId: object,
    values: tf.BackendValues,
    shape: number[],
    dtype: tf.DataType,
    refs: number,
  ): void {
    const data = new DeviceData([...shape], dtype, elementOf(dtype) ?? 'ui8');
    data.host = values;
    data.refs = refs;
    this.foreign.set(dataId, this.adopt(data));
  }

  override refCount(dataId: object): number {
    const data = this.lookup(dataId);
    return data?.refs ?? 0;
  }

  override incRef(dataId: object): void {
    const data = this.find(dataId);
    if (data.value) {
      throw new Error(
        'tf.variable and variable.assign inside a jitted function: return the new value and assign it outside',
      );
    }
    data.refs++;
  }

  override disposeData(dataId: object, force = false): boolean {
    const data = this.lookup(dataId);
    if (!data || data.refs <= 0) return true;
    data.refs = force ? 0 : data.refs - 1;
    if (data.refs > 0) return false;
    if (!data.hidden) this.count--;
    this.bytes -= data.byteSize;
    if (data.element === 'bf16' || data.element === 'f16') this.narrowed -= data.byteSize;
    if (data.holders === 0) data.release('has been disposed');
    this.foreign.delete(dataId);
    return true;
  }

  /** For tfjs's check for leaks in tests. A trace makes values and no data: a reshape there has an id of its own. */
  override numDataIds(): number {
    return isTracing() ? 0 : this.count;
  }

  override readSync(dataId: object): tf.BackendValues {
    const data = this.readable(dataId);
    if (data.host) return data.host;
    return valuesOf(this.rawSync(data), data);
  }

  override async read(dataId: object): Promise<tf.BackendValues> {
    const data = this.readable(dataId);
    if (data.host) return data.host;
    return valuesOf(await this.raw(data), data);
  }

  /** The stored bytes, row-major; bf16 stays bf16. */
  async raw(data: DeviceData): Promise<Uint8Array> {
    if (!data.buffers) return bytesOf(data);
    if (!data.sharding) return data.buffers[0]!.toHost();
    const parts = wholeParts(data);
    return assemble(data, parts, await Promise.all(parts.map(({ buffer }) => buffer.toHost())));
  }

  /** The same, blocking. */
  rawSync(data: DeviceData): Uint8Array {
    if (!data.buffers) return bytesOf(data);
    if (!data.sharding) return data.buffers[0]!.toHostSync();
    const parts = wholeParts(data);
    return assemble(
      data,
      parts,
      parts.map(({ buffer }) => buffer.toHostSync()),
    );
  }

  /** The data, which must have values now. */
  readable(dataId: object): DeviceData {
    const data = this.find(dataId);
    if (data.value) {
      throw new Error(
        'reading the values of a tensor inside a jitted function: they are not known while it is compiled; return the tensor and read it outside',
      );
    }
    refuseUnvalued(data);
    return data;
  }

  /** The data as one buffer on the first device, uploaded when it is needed the first time. */
  buffer(data: DeviceData): NonNullable<DeviceData['buffers']>[number] {
    refuseUnvalued(data);
    if (!data.buffers) this.keep(data, client().bufferFromHost(bytesOf(data), data.element, data.shape));
    return data.buffers![0]!;
  }

  /** Sends the data to the first device without blocking; a tensor disposed of meanwhile stays so. */
  async upload(data: DeviceData): Promise<void> {
    if (data.buffers || data.value || data.unvalued || data.gone !== undefined) return;
    const buffer = await client().bufferFromHostAsync(bytesOf(data), data.element, data.shape);
    if (data.buffers || data.gone !== undefined) buffer.dispose();
    else this.keep(data, buffer);
  }

  /** The device has the data; the host lets go of it, but for values worth keeping. */
  private keep(data: DeviceData, buffer: NonNullable<DeviceData['buffers']>[number]): void {
    data.buffers = [buffer];
    data.bytes = undefined;
    if (numElements(data.shape) > SMALL) data.host = undefined;
  }

  override memory(): { unreliable: boolean } {
    const { bytes, narrowed } = this;
    // The engine counts 4 bytes a float32; what low precision saves is taken off where the engine writes its sum.
    let counted = 0;
    return {
      unreliable: false,
      get numBytes() {
        return counted - narrowed;
      },
      set numBytes(value: number) {
        counted = value;
      },
      numBytesInXla: bytes,
    } as { unreliable: boolean };
  }

  override floatPrecision(): 16 | 32 {
    return 32;
  }

  override epsilon(): number {
    return 1e-7;
  }

  override async time(query: () => void): Promise<tf.BackendTimingInfo> {
    const start = performance.now();
    query();
    return { kernelMs: performance.now() - start };
  }

  override timerAvailable(): boolean {
    return true;
  }

  override dispose(): void {
    if (isTracing()) throw new Error('the XLA backend cannot be removed inside a jitted function');
  }
}
