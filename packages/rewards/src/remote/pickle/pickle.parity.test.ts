import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { NdArray, PickleError, PyTuple, pickle, unpickle } from './index';

interface ServerCase {
  requests: Record<string, unknown>;
  responses: Record<string, unknown>;
  edge: Record<string, unknown>;
  hostile: Record<string, { expect: string }>;
  marker_file: string;
}

const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const flat = (value: unknown): unknown[] => (Array.isArray(value) ? value.flatMap(flat) : [value]);
const tagged = (value: unknown, tag: string): unknown => (value as Record<string, unknown>)[tag];

/** Our value in a shape that can be compared with the fixture's, which has tags for what JSON lacks. */
function ours(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ours);
  if (value instanceof Uint8Array) return { bytes: value.length, sha256: hash(value) };
  if (value instanceof PyTuple) return { tuple: value.items.map(ours) };
  if (value instanceof Set) return { set: [...value].map(ours) };
  if (value instanceof NdArray) return { array: value.values, dtype: value.dtype, shape: value.shape };
  if (value instanceof Map) return { dict: [...value].map(([key, item]) => [ours(key), ours(item)]) };
  return typeof value === 'string' ? digest(value) : value;
}

/** Long texts are in the fixture by length and hash only. */
const digest = (text: string) =>
  text.length < 1000 ? text : { length: [...text].length, sha256: hash(Buffer.from(text)) };

function theirs(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(theirs);
  if (typeof value === 'string') return digest(value);
  if (typeof value !== 'object' || value === null) return value;
  const [tag, ...others] = Object.keys(value);
  const body = tagged(value, tag ?? '');
  const untagged = () => ({ dict: Object.entries(value).map(([key, item]) => [key, theirs(item)]) });
  if (
    !tag?.startsWith('$') ||
    (others.length > 0 && !others.every((key) => /^(sha256|hex|dtype|shape|fortran)$/.test(key)))
  )
    return untagged();
  switch (tag) {
    case '$bytearray':
      return ours(Buffer.from(body as string, 'hex'));
    case '$bytes':
      return { bytes: body, sha256: tagged(value, 'sha256') };
    case '$tuple':
      return { tuple: (body as unknown[]).map(theirs) };
    case '$set':
    case '$frozenset':
      return { set: (body as unknown[]).map(theirs) };
    case '$int':
      return Number.isSafeInteger(Number(body)) ? Number(body) : BigInt(body as string);
    case '$float':
      return { nan: Number.NaN, inf: Number.POSITIVE_INFINITY, '-inf': Number.NEGATIVE_INFINITY, '-0.0': -0 }[
        body as string
      ];
    case '$string_utf16le':
      return Buffer.from(body as string, 'hex').toString('utf16le');
    case '$string_length':
      return { length: body, sha256: tagged(value, 'sha256') };
    case '$scalar':
      return theirs(body);
    case '$ndarray':
      return { array: flat(body).map(theirs), dtype: tagged(value, 'dtype'), shape: tagged(value, 'shape') };
    case '$dict':
      return { dict: (body as [unknown, unknown][]).map(([key, item]) => [theirs(key), theirs(item)]) };
    default:
      return untagged();
  }
}

/** Integer-like keys come first in a JSON object read by JavaScript: such cases keep their order in the text. */
function sortedDicts(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedDicts);
  if (typeof value !== 'object' || value === null) return value;
  const copy = Object.fromEntries(Object.entries(value).map(([key, item]) => [key, sortedDicts(item)]));
  const { dict } = copy as { dict?: [string, unknown][] };
  if (dict?.some(([key]) => /^\d+$/.test(String(key)))) {
    copy.dict = dict.toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  }
  return copy;
}

describe.each(fixtureCases('rewards-server'))('$name', ({ dir }) => {
  const server = readJson<ServerCase>(dir, 'server.json');
  const read = (folder: string, file: string) => readFileSync(join(dir, folder, file));
  const cases = (folder: 'requests' | 'responses' | 'edge') =>
    Object.entries(server[folder]).map(([file, value]) => ({ folder, file, value }));

  it.each([...cases('requests'), ...cases('responses'), ...cases('edge')])(
    'reads $folder/$file',
    ({ folder, file, value }) => {
      const decoded = ours(unpickle(read(folder, file)));
      expect(sortedDicts(decoded)).toEqual(sortedDicts(theirs(value)));
    },
  );

  it.each(Object.keys(server.requests))('writes requests/%s as Python does', (file) => {
    const bytes = read('requests', file);
    const numpyCore = bytes.includes('numpy._core') ? 'numpy._core' : 'numpy.core';
    const written = pickle(unpickle(bytes), { numpyCore });
    expect(Buffer.from(written).equals(bytes)).toBe(true);
  });

  const hostile = Object.entries(server.hostile).map(([file, { expect }]) => ({ file, wanted: expect }));

  it.each(hostile)('survives hostile/$file: $wanted', ({ file, wanted }) => {
    const before = process.memoryUsage().heapUsed;
    const attempt = () => unpickle(read('hostile', file));
    if (wanted === 'refuse') expect(attempt).toThrow(PickleError);
    else {
      try {
        attempt();
      } catch (error) {
        expect(error).toBeInstanceOf(PickleError);
      }
    }
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(256 * 2 ** 20);
    expect(existsSync(server.marker_file)).toBe(false);
  });

  it('keeps integer-like keys in insertion order', () => {
    const order = unpickle(read('edge', 'order.pkl')) as Map<string, number>;
    expect([...order.values()]).toEqual([...order.values()].toSorted((a, b) => a - b));
  });
});
