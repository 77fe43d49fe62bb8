/**
 * Host memory while Show-o2 1.5B is read: a checkpoint of its names and shapes, sharded, of zeros that take no place on the
 * disk, is loaded tensor by tensor as onto a device with memory of its own. One JSON line a stored type. Run after
 * `npm run build`.
 */

import { fork } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadParams } from '@flow-grpo/checkpoint-io';
import { parseShowo2Config, showo2ParameterSpecs } from '@flow-grpo/showo2-model';
import * as tf from '@tensorflow/tfjs-core';

const SHARD_BYTES = 5e9;
const STORED = { float32: ['F32', 4], bfloat16: ['BF16', 2] };

function writeShard(file, tensors, name, itemSize) {
  let end = 0;
  const entries = tensors.map(([key, shape]) => {
    const start = end;
    end += itemSize * shape.reduce((a, b) => a * b, 1);
    return [key, { dtype: name, shape, data_offsets: [start, end] }];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const handle = openSync(file, 'w');
  writeSync(handle, Buffer.concat([length, header]));
  ftruncateSync(handle, 8 + header.length + end);
  closeSync(handle);
}

function writeCheckpoint(folder, dtype) {
  const [name, itemSize] = STORED[dtype];
  const config = parseShowo2Config({ hidden_size: 1536, image_latent_height: 27, image_latent_width: 27 });
  const shards = [[]];
  let used = 0;
  for (const [key, { shape }] of Object.entries(showo2ParameterSpecs(config))) {
    const bytes = itemSize * shape.reduce((a, b) => a * b, 1);
    if (used + bytes > SHARD_BYTES) {
      shards.push([]);
      used = 0;
    }
    shards.at(-1).push([key, shape]);
    used += bytes;
  }
  const map = {};
  shards.forEach((tensors, i) => {
    const number = (n) => String(n).padStart(5, '0');
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    writeShard(join(folder, file), tensors, name, itemSize);
    for (const [key] of tensors) map[key] = file;
  });
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
}

async function measure(dtype) {
  const folder = mkdtempSync(join(tmpdir(), 'showo2-memory-'));
  try {
    writeCheckpoint(folder, dtype);
    const before = process.memoryUsage().rss;
    const start = performance.now();
    let bytes = 0;
    await loadParams(folder, {
      upload: async (_, read) => {
        const { byteLength } = await read();
        bytes += byteLength;
        return tf.scalar(0);
      },
    });
    console.log(
      JSON.stringify({
        stored: dtype,
        gigabytes: Number((bytes / 1e9).toFixed(2)),
        peakHostGigabytes: Number(((process.resourceUsage().maxRSS * 1024 - before) / 1e9).toFixed(2)),
        seconds: Number(((performance.now() - start) / 1000).toFixed(1)),
      }),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

// Each in a process of its own: a peak is never forgotten.
if (process.argv[2]) {
  tf.env().set('IS_TEST', true); // no banner
  await import('@tensorflow/tfjs-backend-cpu');
  await tf.setBackend('cpu');
  await measure(process.argv[2]);
} else {
  for (const dtype of Object.keys(STORED)) {
    const child = fork(fileURLToPath(import.meta.url), [dtype]);
    const code = await new Promise((resolve) => child.on('exit', resolve));
    if (code !== 0) process.exit(1);
  }
}
