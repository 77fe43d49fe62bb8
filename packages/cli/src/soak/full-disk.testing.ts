/** A disk that takes so many bytes and no more, for the whole process. */

import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const full = () => Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });

/** From now on `bytes` are left. A write that does not fit leaves its first half behind, as a real one may. */
export function fillDisk(bytes: number): void {
  let left = bytes;
  const { open, appendFile, writeFile } = fs;
  const halfOf = (data: unknown) => {
    const whole = typeof data === 'string' ? Buffer.from(data) : Buffer.from(data as Uint8Array);
    left -= whole.length;
    return left < 0 ? whole.subarray(0, whole.length >> 1) : undefined;
  };
  const patched = {
    open: async (...args: Parameters<typeof open>) => {
      const handle = await open(...args);
      const { write } = handle;
      const refuse = async (data: unknown) => {
        const half = halfOf(data);
        if (half === undefined) return;
        await (write as (data: Uint8Array) => Promise<unknown>).call(handle, half);
        throw full();
      };
      const { writeFile: writeAll } = handle;
      return Object.assign(handle, {
        write: async (data: never, ...rest: never[]) => {
          await refuse(data);
          return write.call(handle, data, ...rest);
        },
        writeFile: async (data: never, ...rest: never[]) => {
          await refuse(data);
          return writeAll.call(handle, data, ...rest);
        },
      });
    },
    appendFile: async (file: string, data: string) => {
      const half = halfOf(data);
      await appendFile(file, half ?? data);
      if (half) throw full();
    },
    writeFile: async (file: string, data: string | Uint8Array) => {
      const half = halfOf(data);
      await writeFile(file, half ?? data);
      if (half) throw full();
    },
  };
  Object.assign(fs, patched);
  syncBuiltinESMExports();
}
