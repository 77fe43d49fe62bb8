import type { PjrtApi } from './api';
import { decodeNamedValues, type NamedValue } from './named-values';

/** Bytes on a device, as its allocator counts them; what an allocator does not count is undefined. */
export interface DeviceMemoryStats {
  bytesInUse: number;
  peakBytesInUse?: number;
  allocations?: number;
  largestAllocation?: number;
  bytesLimit?: number;
  bytesReserved?: number;
  largestFreeBlock?: number;
  poolBytes?: number;
}

/** One device of a client. */
export class PjrtDevice {
  /** Number of the device among all of the client's, unique over its processes. */
  readonly id: number;
  /** Model of the hardware: `cpu`, `NVIDIA H200`, … */
  readonly kind: string;
  /** Number of the device on this machine (the CUDA ordinal), -1 where it has none. */
  readonly localHardwareId: number;
  /** The process whose device it is, of those that share the client's run. */
  readonly processIndex: number;
  /** Whether it is a device of this process: only there are buffers made and read. */
  readonly isLocal: boolean;
  readonly description: string;
  private readonly descriptionHandle: number;

  /** @internal */
  constructor(
    private readonly api: PjrtApi,
    /** @internal */ readonly handle: number,
    private readonly isClosed: () => boolean,
  ) {
    const words = (name: Parameters<PjrtApi['call']>[0], size: number, argument: number) =>
      api.call(name, size, [argument]);
    this.descriptionHandle = words('Device_GetDescription', 4, handle).get(3);
    this.id = words('DeviceDescription_Id', 4, this.descriptionHandle).getInt32(3);
    this.processIndex = words('DeviceDescription_ProcessIndex', 4, this.descriptionHandle).getInt32(3);
    const kind = words('DeviceDescription_Kind', 5, this.descriptionHandle);
    this.kind = api.text(kind.get(3), kind.get(4));
    const text = words('DeviceDescription_ToString', 5, this.descriptionHandle);
    this.description = api.text(text.get(3), text.get(4));
    this.isLocal = words('Device_IsAddressable', 4, handle).getBool(3);
    this.localHardwareId = words('Device_LocalHardwareId', 4, handle).getInt32(3);
  }

  /** What the plugin tells of the hardware: `compute_capability`, `core_count`, … */
  attributes(): Record<string, NamedValue> {
    if (this.isClosed()) return {};
    const words = this.api.call('DeviceDescription_Attributes', 5, [this.descriptionHandle]);
    return decodeNamedValues(this.api.native, words.get(4), words.get(3));
  }

  /** Memory in use now; undefined where the plugin does not count it (the CPU ones do not). */
  memoryStats(): DeviceMemoryStats | undefined {
    if (this.isClosed() || !this.isLocal) return undefined;
    let words: ReturnType<PjrtApi['call']>;
    try {
      words = this.api.call('Device_MemoryStats', 25, [this.handle]);
    } catch {
      return undefined;
    }
    const optional = (index: number) => (words.getBool(index + 1) ? words.getInt64(index) : undefined);
    const stats: DeviceMemoryStats = { bytesInUse: words.getInt64(3) };
    const add = (key: keyof DeviceMemoryStats, index: number) => {
      const value = optional(index);
      if (value !== undefined) stats[key] = value;
    };
    add('peakBytesInUse', 4);
    add('allocations', 6);
    add('largestAllocation', 8);
    add('bytesLimit', 10);
    add('bytesReserved', 12);
    add('largestFreeBlock', 18);
    add('poolBytes', 20);
    return stats;
  }

  toString(): string {
    return this.description;
  }
}
