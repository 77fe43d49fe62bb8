import { expect, it } from 'vitest';
import { formatBytes } from './errors';
import { requestedBytes } from './out-of-memory';

it.each([
  ['Out of memory while trying to allocate 4294967296 bytes.', 4294967296],
  ['RESOURCE_EXHAUSTED: Out of memory allocating 1024 bytes', 1024],
  ['Out of memory while trying to allocate 1.50GiB.', 1.5 * 2 ** 30],
  ['Failed to allocate 12.0 MiB', 12 * 2 ** 20],
])('%s', (message, bytes) => {
  expect(requestedBytes(message)).toBe(bytes);
});

it('knows when a message names no size', () => {
  expect(requestedBytes('something else')).toBeUndefined();
});

it('formats bytes for people', () => {
  expect([0, 1023, 1024, 1.5 * 2 ** 30, 20 * 2 ** 40].map(formatBytes)).toEqual([
    '0 B',
    '1023 B',
    '1.00 KiB',
    '1.50 GiB',
    '20.0 TiB',
  ]);
});
