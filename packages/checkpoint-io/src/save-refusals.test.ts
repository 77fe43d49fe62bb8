import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { loadParams, openCheckpoint, type Savable, type SaveOptions, saveSafetensors } from './index';

const root = mkdtempSync(join(tmpdir(), 'checkpoint-refusals-'));
afterAll(() => rmSync(root, { recursive: true }));

const good = () => ({ a: tf.ones([4]), b: tf.ones([4]) });
const raw = (dtype: unknown, shape: unknown, bytes: number) =>
  ({ dtype, shape, bytes: new Uint8Array(bytes) }) as Savable;
const one = { w: tf.ones([1]) };

/** What must not reach the disk: tensors, options, and what the error says. */
const REFUSED: [what: string, params: Record<string, Savable>, options: object, message: string][] = [
  ...['float64', 'F32', 'bfloat', '__proto__', 'toString', null, 5].map(
    (dtype) => [`the dtype ${dtype}`, one, { dtype }, 'not one of float32, float16, bfloat16'] as never,
  ),
  [
    'a number among the metadata',
    one,
    { metadata: { step: 5 } },
    'metadata.step must be a string, not number',
  ],
  ['null among the metadata', one, { metadata: { a: null } }, 'metadata.a must be a string, not null'],
  ['undefined among the metadata', one, { metadata: { a: undefined } }, 'not undefined'],
  ['a record among the metadata', one, { metadata: { a: {} } }, 'metadata.a must be a string, not object'],
  ['a boolean among the metadata', one, { metadata: { a: true } }, 'not boolean'],
  ['metadata that is a list', one, { metadata: ['a'] }, 'metadata must be an object'],
  ['metadata that is null', one, { metadata: null }, 'metadata must be an object'],
  ['half a character in a metadata key', one, { metadata: { '\ud83e': '' } }, 'not Unicode'],
  ['half a character in a metadata value', one, { metadata: { a: 'x\udd80' } }, 'metadata.a is "x\\udd80"'],
  [
    'a header beyond the limit',
    one,
    { metadata: { a: 'x'.repeat(100_000_000) } },
    'the format allows 100000000',
  ],
  ['the reserved name', { __metadata__: tf.ones([1]) }, {}, 'the format reserves it'],
  ['half a character in a name', { 'a\ud83e': tf.ones([1]) }, {}, 'not Unicode'],
  ['a complex tensor', { w: tf.complex([1], [2]) }, {}, 'a complex64 tensor cannot be stored'],
  ['a tensor of text', { w: tf.tensor1d(['x']) }, {}, 'a string tensor cannot be stored'],
  ['no tensor', { w: undefined as never }, {}, 'w: neither a tensor nor'],
  ['a plain array', { w: [1, 2] as never }, {}, 'w: neither a tensor nor'],
  ['bytes of an unknown type', { w: raw('float31', [1], 4) }, {}, 'float31 is not one of float64'],
  ['bytes of an inherited type', { w: raw('constructor', [1], 4) }, {}, 'constructor is not one of'],
  ['bytes of no type', { w: raw(undefined, [1], 4) }, {}, 'undefined is not one of'],
  ['a negative length', { w: raw('float32', [-1], 4) }, {}, '[-1] is not a shape'],
  ['a fraction of a length', { w: raw('float32', [0.5], 2) }, {}, '[0.5] is not a shape'],
  ['a length that is no number', { w: raw('float32', ['1'], 4) }, {}, '[1] is not a shape'],
  ['too few bytes', { w: raw('float32', [2], 7) }, {}, 'needs 8 bytes, got 7'],
  ['a shard size of nothing', one, { shardSize: 0 }, 'shardSize must be positive'],
  ['a shard size that is no number', one, { shardSize: Number.NaN }, 'shardSize must be positive'],
];

describe.each([
  ['one file', {}],
  ['shards', { shardSize: 16 }],
])('%s', (layout, how) => {
  const folder = join(root, layout);
  const file = join(folder, 'model.safetensors');
  const snapshot = () =>
    readdirSync(folder)
      .sort()
      .map((name) => [name, readFileSync(join(folder, name)).toString('base64')]);

  it.each(REFUSED)('is left as it was by %s', async (_, params, options, message) => {
    await saveSafetensors(file, good(), how);
    const before = snapshot();
    const all = { ...good(), ...params };
    const failing = saveSafetensors(file, all, { ...how, ...options } as SaveOptions);
    await expect(failing).rejects.toThrow(TypeError);
    await expect(failing).rejects.toThrow(message);
    expect(snapshot()).toEqual(before);
  });

  it('is left as it was by a backend that gives too few values', async () => {
    await saveSafetensors(file, good(), how);
    const before = snapshot();
    const short = Object.assign(Object.create(tf.ones([4])) as tf.Tensor, {
      data: async () => new Float32Array(3),
    });
    await expect(saveSafetensors(file, { ...good(), c: short }, how)).rejects.toThrow(
      'needs 16 bytes, got 12',
    );
    expect(snapshot()).toEqual(before);
  });

  it('holds whatever names and metadata Unicode allows', async () => {
    const names = ['', '0', '12', '__proto__', 'constructor', 'a"b\\c\n\0', 'каша', '🦀', 'weight_map', ' '];
    const params = Object.fromEntries(names.map((name, i) => [name, tf.fill([4], i)]));
    const metadata = Object.fromEntries(names.map((name) => [name, `${name}!`]));
    await saveSafetensors(file, params, { ...how, metadata });
    const checkpoint = await openCheckpoint(folder);
    expect([...checkpoint.names].sort()).toEqual([...names].sort());
    expect(Object.entries(checkpoint.metadata).sort()).toEqual(Object.entries(metadata).sort());
    await checkpoint.close();
    const back = await loadParams(folder);
    for (const [i, name] of names.entries()) {
      expect(Object.getOwnPropertyDescriptor(back, name)?.value.dataSync()[3], name).toBe(i);
    }
  });
});

it('needs a name before .safetensors', async () => {
  for (const name of ['.safetensors', 'model.bin', 'a/.safetensors']) {
    await expect(saveSafetensors(join(root, name), good()), name).rejects.toThrow('must be NAME.safetensors');
  }
});
