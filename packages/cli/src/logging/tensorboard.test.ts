import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { crc32c, maskedCrc32c } from './crc32c';
import { eventWriter } from './tensorboard';

const folder = mkdtempSync(join(tmpdir(), 'events-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('computes CRC-32C as published', () => {
  // RFC 3720, appendix B.4
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
});

it('frames every record with its length and checksums', () => {
  const writer = eventWriter(folder, () => 1234.5);
  writer.scalars(7, { reward: 0.5, loss: -1 });
  writer.histogram(7, 'advantages', [-1, 0, 0, 1]);
  writer.image(7, 'samples', Buffer.from('png'), 2, 1);
  const bytes = readFileSync(writer.file);
  const records: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    expect(bytes.readUInt32LE(at + 8)).toBe(maskedCrc32c(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(bytes.readUInt32LE(at + 12 + length)).toBe(maskedCrc32c(data));
    records.push(data);
    at += 16 + length;
  }
  expect(records).toHaveLength(4);
  expect(records[0]!.toString('latin1')).toContain('brain.Event:2');
  expect(records[1]!.readDoubleLE(1)).toBe(1234.5); // field 1: wall time
  expect(records[1]!.subarray(9, 11)).toEqual(Buffer.from([0x10, 7])); // field 2: step
  expect(records[1]!.toString('latin1')).toContain('reward');
  expect(records[2]!.toString('latin1')).toContain('advantages');
  expect(records[3]!.toString('latin1')).toContain('png');
});

it.each([
  [[-1, 0, 0, 1]],
  [[5, 5, 5]],
  [[0]],
  [[0.1, 0.7, 1.1]],
  [[-0.30000000000000004, 0.1, 1 / 3]],
  [[1e-300, 2e-300]],
  [Array.from({ length: 1000 }, (_, i) => Math.sin(i) / 3)],
])('a histogram has the least and the largest of its values, and every value in a bucket: %j', (values) => {
  const writer = eventWriter(mkdtempSync(join(folder, 'histogram-')), () => 1);
  writer.histogram(1, 't', values);
  const bytes = readFileSync(writer.file);
  const at = bytes.lastIndexOf(Buffer.from('\x0a\x01t\x2a', 'latin1')) + 4; // tag, then field 5 and its length
  let body = at;
  while (bytes[body]! >= 128) body++;
  body++;
  const field = (i: number) => bytes.readDoubleLE(body + 9 * i + 1); // each a tag and a double
  expect([field(0), field(1), field(2)]).toEqual([Math.min(...values), Math.max(...values), values.length]);
  const buckets = 30;
  const limits = Array.from({ length: buckets }, (_, i) => bytes.readDoubleLE(body + 9 * 5 + 3 + 8 * i));
  expect(limits.at(-1)).toBeGreaterThanOrEqual(Math.max(...values));
  expect(limits).toEqual(limits.toSorted((a, b) => a - b));
});
