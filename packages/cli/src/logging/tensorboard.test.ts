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
