// @own-process: it measures the largest memory that the process ever held.
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, expect, it } from 'vitest';
import { loadParams } from './index';

const MB = 2 ** 20;
const TENSOR = 16 * MB;
const SHARDS = 4;
const PER_SHARD = 16;

const folder = mkdtempSync(join(tmpdir(), 'checkpoint-memory-'));
afterAll(() => rmSync(folder, { recursive: true }));

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** A safetensors file of zeros whose data takes no place on the disk. */
function writeSparse(file: string, names: readonly string[]): void {
  const entries = names.map((name, i) => [
    name,
    { dtype: 'BF16', shape: [TENSOR / 2], data_offsets: [i * TENSOR, (i + 1) * TENSOR] },
  ]);
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const handle = openSync(file, 'w');
  writeSync(handle, Buffer.concat([length, header]));
  ftruncateSync(handle, 8 + header.length + names.length * TENSOR);
  closeSync(handle);
}

it('holds a few tensors on the host while it loads a sharded checkpoint of a gigabyte', async () => {
  const weightMap: Record<string, string> = {};
  for (let shard = 0; shard < SHARDS; shard++) {
    const file = `model-${String(shard + 1).padStart(5, '0')}-of-0000${SHARDS}.safetensors`;
    const names = Array.from({ length: PER_SHARD }, (_, i) => `layers.${shard * PER_SHARD + i}.weight`);
    for (const name of names) weightMap[name] = file;
    writeSparse(join(folder, file), names);
  }
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }));

  const before = process.memoryUsage().rss;
  let bytes = 0;
  // As a device with memory of its own: the host gives the bytes away.
  const params = await loadParams(folder, {
    upload: async (_, read) => {
      const { byteLength } = await read();
      bytes += byteLength;
      if (bytes % (4 * TENSOR) === 0) collectGarbage(); // memory is what is reachable, not what waits for the collector
      return tf.scalar(0);
    },
  });
  expect(bytes).toBe(SHARDS * PER_SHARD * TENSOR);
  expect(Object.keys(params)).toHaveLength(SHARDS * PER_SHARD);
  const peak = process.resourceUsage().maxRSS * 1024 - before;
  // What is on its way (128 MiB), and what came since garbage was collected.
  expect(peak).toBeLessThan((3 / 8) * bytes);
});
