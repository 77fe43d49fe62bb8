/** What runs the operations, and what suits it. */
import * as tf from '@tensorflow/tfjs-core';
import { activeCompiler, type DeviceInfo, type FloatStorage } from '../compiler';

/** The devices of the active backend, of all processes that share them, as they are now. A backend without a compiler is one device of its own name. */
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

/** Whether an error says that a device, or the host, had too little memory for a tensor or a program. */
export function isOutOfMemory(error: unknown): boolean {
  if (activeCompiler()?.isOutOfMemory(error)) return true;
  // JavaScript's own, of a typed array or of WebAssembly's memory.
  return (
    error instanceof RangeError && /allocation failed|could not allocate|Memory\.grow/i.test(error.message)
  );
}
