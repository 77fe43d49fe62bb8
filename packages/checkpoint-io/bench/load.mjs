/**
 * How fast checkpoints are read from a warm page cache, and written to a temporary folder.
 *
 *     npm run build && node bench/load.mjs [megabytes]
 *
 * Prints GB/s of stored bytes, per stored type.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCheckpoint, saveSafetensors } from '../dist/index.js';

const megabytes = Number(process.argv[2] ?? 512);
const tensors = 16;
const folder = mkdtempSync(join(tmpdir(), 'checkpoint-bench-'));

try {
  for (const dtype of ['float32', 'bfloat16', 'float16']) {
    const itemSize = dtype === 'float32' ? 4 : 2;
    const elements = Math.floor((megabytes * 1e6) / tensors / itemSize);
    const bytes = new Uint8Array(elements * itemSize);
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 31) & 0x3f;
    const raw = { dtype, shape: [elements], bytes };
    const params = Object.fromEntries(Array.from({ length: tensors }, (_, i) => [`w${i}`, raw]));
    const file = join(folder, `${dtype}.safetensors`);
    const writing = performance.now();
    await saveSafetensors(file, params);
    const wrote = performance.now() - writing;

    const checkpoint = await openCheckpoint(file);
    for (const [what, read] of [
      ['float32 values', (name) => checkpoint.readValues(name)],
      ['stored bytes', (name) => checkpoint.readBytes(name)],
    ]) {
      for (const name of checkpoint.names.slice(0, 2)) await read(name);
      const start = performance.now();
      for (const name of checkpoint.names) await read(name);
      const seconds = (performance.now() - start) / 1000;
      const total = (tensors * bytes.length) / 1e9;
      console.log(`${dtype} to ${what}: ${(total / seconds).toFixed(2)} GB/s`);
    }
    await checkpoint.close();
    rmSync(file);
    console.log(`${dtype} written and flushed: ${((tensors * bytes.length) / 1e6 / wrote).toFixed(2)} GB/s`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
