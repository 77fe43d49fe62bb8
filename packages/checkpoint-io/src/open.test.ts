import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixtureCases } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import {
  CheckpointError,
  loadParams,
  memorySource,
  openCheckpoint,
  openSource,
  saveSafetensors,
} from './index';

const folder = mkdtempSync(join(tmpdir(), 'checkpoint-open-'));
afterAll(() => rmSync(folder, { recursive: true }));
const { dir } = fixtureCases('checkpoints')[0]!;

/** A legacy torch file whose only tensor views a storage of `elements` floats with the given geometry. */
function legacyFile(elements: number, shape: number[], strides: number[]): Uint8Array {
  const int = (value: number) => {
    const bytes = Buffer.alloc(5);
    bytes[0] = 0x4a;
    bytes.writeInt32LE(value, 1);
    return bytes.toString('latin1');
  };
  const text = (value: string) => `X${String.fromCharCode(value.length)}\0\0\0${value}`;
  const tuple = (values: number[]) => `(${values.map(int).join('')}t`;
  const storage = `(${text('storage')}ctorch\nFloatStorage\n${text('0')}${text('cpu')}${int(elements)}NtQ`;
  const tensor = `ctorch._utils\n_rebuild_tensor_v2\n(${storage}${int(0)}${tuple(shape)}${tuple(strides)}\x89}tR`;
  const head = '\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.';
  const count = Buffer.alloc(8);
  count.writeBigInt64LE(BigInt(elements));
  return Buffer.concat([
    Buffer.from(`${head}\x80\x02}${text('w')}${tensor}s.\x80\x02]${text('0')}a.`, 'latin1'),
    count,
    Buffer.from(Float32Array.from({ length: elements }, (_, i) => i).buffer),
  ]);
}

describe('openCheckpoint', () => {
  it('reads transposed views of a storage', async () => {
    const checkpoint = await openSource(memorySource('view.pth', legacyFile(6, [3, 2], [1, 3])));
    expect(checkpoint.info('w')).toMatchObject({ dtype: 'float32', shape: [3, 2], byteLength: 24 });
    expect([...(await checkpoint.readValues('w'))]).toEqual([0, 3, 1, 4, 2, 5]);
    expect((await checkpoint.readBytes('w')).byteLength).toBe(24);
  });

  it.each([
    ['leaves its storage', [3, 3], [3, 1]],
    ['has negative strides', [2], [-1]],
    ['has a negative length', [-2], [1]],
    ['has as many strides as lengths', [2, 2], [1]],
  ])('refuses a tensor that %s wrongly', async (_, shape, strides) => {
    await expect(openSource(memorySource('bad.pth', legacyFile(6, shape, strides)))).rejects.toThrow(
      CheckpointError,
    );
  });

  it('refuses to expand a view beyond the size of its file', async () => {
    const checkpoint = await openSource(memorySource('bomb.pth', legacyFile(1, [1 << 20, 1 << 10], [0, 0])));
    await expect(checkpoint.readValues('w')).rejects.toThrow('more than 2 times the file');
  });

  it('shares the data of tied weights', async () => {
    const params = await loadParams(join(dir, 'zip.pth'), { filter: (name) => name.startsWith('tied.') });
    const [a, b] = [params['tied.a']!, params['tied.b']!];
    expect(a.dataId).toBe(b.dataId);
    a.dispose();
    expect(b.dataSync().length).toBe(b.size);
  });

  it('gives the plain values beside a nested state dict, and enters it by name', async () => {
    const checkpoint = await openCheckpoint(join(dir, 'nested.pth'), { root: ['state_dict'] });
    expect(checkpoint.has('layer.weight')).toBe(true);
    expect(checkpoint.metadata).toMatchObject({ epoch: 3, best: null });
    await checkpoint.close();
    await expect(openCheckpoint(join(dir, 'nested.pth'), { root: ['nothing'] })).rejects.toThrow('nothing');
  });

  it.each(['a', 'b'])('disposes what it loaded and what it reads ahead when %s fails', async (bad) => {
    const file = join(folder, 'dispose.safetensors');
    await saveSafetensors(file, { a: tf.ones([2]), b: tf.ones([2]) });
    const before = tf.memory().numTensors;
    const failing = loadParams(file, {
      onProgress: ({ name }) => {
        if (name === bad) throw new Error('stop');
      },
    });
    await expect(failing).rejects.toThrow('stop');
    expect(tf.memory().numTensors).toBe(before);
  });

  it('hands the stored bytes to an upload function', async () => {
    const file = join(folder, 'upload.safetensors');
    await saveSafetensors(
      file,
      { a: tf.tensor1d([1, 2]), b: tf.tensor1d([3], 'int32') },
      { dtype: 'bfloat16' },
    );
    const params = await loadParams(file, {
      upload: async ({ dtype, shape }, bytes) =>
        dtype === 'bfloat16'
          ? tf.tensor(Int32Array.from(new Uint16Array((await bytes()).buffer)), [...shape], 'int32')
          : undefined,
    });
    expect([...params.a!.dataSync()]).toEqual([0x3f80, 0x4000]);
    expect([...params.b!.dataSync()]).toEqual([3]);
  });

  it('refuses an index that points out of its folder or at tensors that are not there', async () => {
    const path = join(folder, 'index');
    mkdirSync(path);
    const write = (map: unknown) =>
      writeFileSync(join(path, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
    write({ a: '../dispose.safetensors' });
    await expect(openCheckpoint(path)).rejects.toThrow('not a file name');
    symlinkSync(join(folder, 'dispose.safetensors'), join(path, 'one.safetensors'));
    write({ a: 'one.safetensors', z: 'one.safetensors' });
    await expect(openCheckpoint(path)).rejects.toThrow('do not hold: z');
    write({ a: 'two.safetensors' });
    await expect(openCheckpoint(path)).rejects.toThrow('two.safetensors: cannot be opened');
  });

  it('says when a folder holds no checkpoint or several', async () => {
    await expect(openCheckpoint(join(folder, 'absent'))).rejects.toThrow('cannot be opened');
    mkdirSync(join(folder, 'empty'));
    await expect(openCheckpoint(join(folder, 'empty'))).rejects.toThrow('holds no checkpoint');
    mkdirSync(join(folder, 'several'));
    for (const name of ['a', 'b']) writeFileSync(join(folder, 'several', `${name}.pth`), '');
    await expect(openCheckpoint(join(folder, 'several'))).rejects.toThrow('several checkpoints');
  });
});
