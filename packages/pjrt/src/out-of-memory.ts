import { freemem, totalmem } from 'node:os';
import type { PjrtDevice } from './device';
import { formatBytes, type PjrtError, PjrtOutOfMemoryError } from './errors';

/** An error for want of memory with what was asked for and what is free on `device`; any other error as it is. */
export function withFreeMemory(error: PjrtError, device: PjrtDevice, platform: string): PjrtError {
  if (error.code !== 'RESOURCE_EXHAUSTED') return error;
  const requested = requestedBytes(error.detail);
  const memory = memoryOf(device, platform);
  const asked = requested === undefined ? '' : `asked for ${formatBytes(requested)}, `;
  const left =
    memory === undefined
      ? `the memory free on ${device} is not known to its plugin`
      : `${formatBytes(memory.free)} of ${formatBytes(memory.limit)} free on ${device}`;
  return new PjrtOutOfMemoryError(
    error.operation,
    `${error.detail} (${asked}${left})`,
    requested,
    memory?.free,
  );
}

/** Memory of a device by its plugin's count; CPU devices, which count nothing, have that of the machine. */
function memoryOf(device: PjrtDevice, platform: string): { free: number; limit: number } | undefined {
  const stats = device.memoryStats();
  if (stats?.bytesLimit !== undefined) {
    return { free: stats.bytesLimit - stats.bytesInUse, limit: stats.bytesLimit };
  }
  return platform === 'cpu' ? { free: freemem(), limit: totalmem() } : undefined;
}

const UNITS: Record<string, number> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

/** Bytes that an out-of-memory message of XLA says were asked for. */
export function requestedBytes(message: string): number | undefined {
  const match = /allocat\w*\s+(?:of\s+)?([\d.]+)\s*(bytes|B\b|[KMGT]iB)/i.exec(message);
  if (match === null) return undefined;
  return Math.round(Number(match[1]) * (UNITS[match[2]!] ?? 1));
}
