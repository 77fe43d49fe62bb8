/** What the devices are, and how full their memory is. */
import { client } from './client';

export interface DeviceInfo {
  /** Model of the hardware: `cpu`, `NVIDIA H200`, … */
  readonly kind: string;
  /** `cpu`, `cuda`, … */
  readonly platform: string;
  /** Bytes, as the plugin's allocator counts them; undefined where it does not (the CPU ones). */
  readonly bytesInUse: number | undefined;
  readonly peakBytesInUse: number | undefined;
  readonly bytesLimit: number | undefined;
}

/** The devices of the running backend, as they are now. */
export function deviceInfo(): DeviceInfo[] {
  const { devices, platformName } = client();
  return devices.map((device) => {
    const stats = device.memoryStats();
    return {
      kind: device.kind,
      platform: platformName,
      bytesInUse: stats?.bytesInUse,
      peakBytesInUse: stats?.peakBytesInUse,
      bytesLimit: stats?.bytesLimit,
    };
  });
}
