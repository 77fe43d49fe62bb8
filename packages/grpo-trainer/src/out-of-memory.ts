/** Turns out-of-memory errors into advice about options. */
import { isOutOfMemory } from '@flow-grpo/tfjs-jit';
import { ConfigError } from './config/config-error';

/**
 * What `work` gives.
 *
 * @param remedy what takes less memory
 * @throws {ConfigError} where a device has too little memory: its message, and the remedy.
 */
export async function withOutOfMemoryHint<T>(remedy: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isOutOfMemory(error)) throw error;
    throw new ConfigError(`${(error as Error).message}\nTo use less memory, set ${remedy}`, { cause: error });
  }
}
