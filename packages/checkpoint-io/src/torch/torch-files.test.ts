import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { CheckpointError, loadParams, memorySource, openCheckpoint, openSource } from '../index';

/** Files that torch.save wrote, and what torch.load gives of them: `make.py` there writes both. */
const folder = fileURLToPath(new URL('../../test/data/torch', import.meta.url));

interface Expected {
  tensors?: Record<string, { dtype: string; shape: number[]; values: (number | string)[] }>;
  refused?: string;
  metadata?: Record<string, unknown>;
}
const expected: Record<string, Expected> = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'));
const files = Object.keys(expected);
const readable = files.filter((file) => expected[file]!.tensors);
const refused = files.filter((file) => expected[file]!.refused !== undefined);

/** Beyond int32 the reader refuses, as it says. */
const fits = (values: readonly (number | string)[], dtype: string) =>
  dtype.includes('float') || values.every((value) => Math.abs(Number(value)) < 2 ** 31);

describe('files of torch.save', () => {
  it('are all looked at', () => {
    expect(
      readdirSync(folder)
        .filter((name) => name.endsWith('.pt'))
        .sort(),
    ).toEqual([...files].sort());
    expect(readable.length + refused.length).toBe(files.length);
  });

  it.each(readable)('%s holds what torch.load gives', async (file) => {
    const { tensors = {}, metadata } = expected[file]!;
    const checkpoint = await openCheckpoint(join(folder, file));
    expect([...checkpoint.names].sort()).toEqual(Object.keys(tensors).sort());
    if (metadata) expect(checkpoint.metadata).toEqual(metadata);
    for (const [name, { dtype, shape, values }] of Object.entries(tensors)) {
      expect(checkpoint.info(name), name).toMatchObject({ dtype, shape });
      expect(fits(values, dtype)).toBe(true);
      expect(Array.from(await checkpoint.readValues(name)), name).toEqual(
        values.map((value) => Number(value)),
      );
    }
    await checkpoint.close();
    const params = await loadParams(join(folder, file));
    expect(Object.keys(params).sort()).toEqual(Object.keys(tensors).sort());
    tf.dispose(params);
  });

  it.each(refused)('%s is refused by its name', async (file) => {
    const opening = openCheckpoint(join(folder, file));
    await expect(opening).rejects.toThrow(CheckpointError);
    await expect(opening).rejects.toThrow(expected[file]!.refused!);
  });

  it('keep bytes as bytes', async () => {
    for (const file of [
      'extra-bytes-p2.pt',
      'extra-bytes-p5.pt',
      'extra-bytearray-p2.pt',
      'extra-bytearray-p5.pt',
    ]) {
      const checkpoint = await openCheckpoint(join(folder, file));
      expect(checkpoint.metadata.extra, file).toEqual(Uint8Array.from([0x61, 0x62, 0x63, 0xff]));
      await checkpoint.close();
    }
  });

  it('give the stored bytes of negated tensors negated', async () => {
    const checkpoint = await openCheckpoint(join(folder, 'neg-float32.pt'));
    const bytes = await checkpoint.readBytes('w');
    expect([...new Float32Array(bytes.buffer)]).toEqual([-0, -1, -2, -3, -4, -5]);
    expect(checkpoint.tied('w')).toEqual(['w']);
    await checkpoint.close();
  });
});

/** A legacy file of torch around a pickle of its object. */
function legacyFile(object: string): Uint8Array {
  const head = '\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.';
  return Buffer.from(`${head}\x80\x02${object}.\x80\x02].`, 'latin1');
}

describe('hostile pickles', () => {
  it.each([
    ['posix', 'system'],
    ['os', 'popen'],
    ['nt', 'system'],
    ['os.path', 'join'],
    ['subprocess', 'Popen'],
    ['__builtin__', 'eval'],
    ['builtins', 'exec'],
    ['builtins', '__import__'],
    ['runpy', 'run_path'],
    ['importlib', 'import_module'],
  ])('are refused beside good weights: %s.%s', async (module, name) => {
    const object = `}X\x01\0\0\0ac${module}\n${name}\n)Rs`;
    await expect(openSource(memorySource('x.pt', legacyFile(object)))).rejects.toThrow(
      'which is not allowed',
    );
  });

  it('cannot make tensors by what is not a function of torch', async () => {
    for (const make of ['ccollections\nOrderedDict\n', 'K\x01', ']', 'ctorch\nfloat32\n']) {
      const object = `}X\x01\0\0\0wctorch._tensor\n_rebuild_from_type_v2\n(${make}ctorch\nTensor\n)}tRs`;
      await expect(openSource(memorySource('x.pt', legacyFile(object))), make).rejects.toThrow(
        CheckpointError,
      );
    }
  });

  it('are named when nothing but objects is there', async () => {
    const bytes = legacyFile('cmy.models\nNet\n)\x81}X\x01\0\0\0wK\x01sb');
    const opening = openSource(memorySource('x.pt', bytes));
    await expect(opening).rejects.toThrow('objects of my.models.Net, which are not run');
    const error = await opening.catch((reason: unknown) => reason as CheckpointError);
    expect((error as CheckpointError).offset).toBe(Buffer.from(bytes).indexOf('Net\n') + 4);
  });
});
