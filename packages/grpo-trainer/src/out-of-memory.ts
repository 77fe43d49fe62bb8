/** Turns out-of-memory errors into advice about options. */
import { ConfigError } from './config/config-error';

/**
 * What `work` gives.
 *
 * @param remedy what takes less memory
 * @throws {ConfigError} where a device of the XLA backend has too little: its message, and the remedy.
 */
export async function withOutOfMemoryHint<T>(remedy: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'PjrtOutOfMemoryError') throw error;
    throw new ConfigError(`${error.message}\nIt takes less with ${remedy}`, { cause: error });
  }
}
