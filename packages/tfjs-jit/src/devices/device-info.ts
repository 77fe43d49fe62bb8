/** The devices that run operations, and the storage that suits them. */
import * as tf from '@tensorflow/tfjs-core';
import { activeCompiler, type DeviceInfo, type FloatStorage } from '../compiler';

/**
 * The devices of the active backend, of all processes that share them, as they are now. A backend without a compiler is one
 * device of its own name.
 */
export function deviceInfo(): DeviceInfo[] {
  const compiler = activeCompiler();
  if (compiler) return compiler.deviceInfo();
  const name = tf.getBackend() ?? 'none';
  const memory = { bytesInUse: undefined, peakBytesInUse: undefined, bytesLimit: undefined };
  return [{ kind: name, platform: name, ...memory, process: 0, isLocal: true }];
}

/** How weights are best stored on the active backend: bfloat16 on accelerators of a compiler, else float32. */
export function defaultStorage(): FloatStorage {
  const [device] = activeCompiler()?.deviceInfo() ?? [];
  return device && device.platform !== 'cpu' ? 'bfloat16' : 'float32';
}

/** Whether an error means that a device, or the host, ran out of memory. */
export function isOutOfMemory(error: unknown): boolean {
  if (activeCompiler()?.isOutOfMemory(error)) return true;
  // JavaScript's own, of a typed array or of WebAssembly's memory.
  return (
    error instanceof RangeError && /allocation failed|could not allocate|Memory\.grow/i.test(error.message)
  );
}
