/** What the devices are, and how full their memory is. */
import type { DeviceInfo } from '@flow-grpo/tfjs-jit/backend';
import { client } from './client';

/** The devices of the running backend, of all processes, as they are now. */
export function deviceInfo(): DeviceInfo[] {
  const { allDevices, platformName } = client();
  return allDevices.map((device) => {
    const stats = device.memoryStats();
    return {
      kind: device.kind,
      platform: platformName,
      bytesInUse: stats?.bytesInUse,
      peakBytesInUse: stats?.peakBytesInUse,
      bytesLimit: stats?.bytesLimit,
      process: device.processIndex,
      isLocal: device.isLocal,
    };
  });
}
