import { BinaryReader } from '@bufbuild/protobuf/wire';
import { describe, expect, it } from 'vitest';
import { encodeCompileOptions } from './compile-options';

type Fields = Record<number, unknown[]>;

/** Fields of a message: varints as numbers, bytes as they are. */
function fields(bytes: Uint8Array): Fields {
  const reader = new BinaryReader(bytes);
  const found: Fields = {};
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    const value = wire === 0 ? Number(reader.int64()) : wire === 2 ? reader.bytes() : reader.double();
    found[field] = [...(found[field] ?? []), value];
  }
  return found;
}

const build = (bytes: Uint8Array): Fields => fields(fields(bytes)[3]![0] as Uint8Array);
const text = (bytes: unknown) => Buffer.from(bytes as Uint8Array).toString();

describe('encodeCompileOptions', () => {
  it('leaves the device open and asks for one replica by default', () => {
    expect([...encodeCompileOptions()]).toEqual([26, 15, 8, ...Array(9).fill(255), 1, 32, 1, 40, 1]);
  });

  it('turns partitioning and Shardy on with the first partition, unless told otherwise', () => {
    expect(build(encodeCompileOptions({ numPartitions: 4 }))).toMatchObject({
      4: [1],
      5: [4],
      6: [1],
      19: [1],
    });
    const plain = build(encodeCompileOptions({ numPartitions: 4, useShardyPartitioner: false }));
    expect(plain[19]).toBeUndefined();
  });

  it('lists the devices of each partition over the replicas', () => {
    const options = {
      numReplicas: 2,
      numPartitions: 3,
      deviceAssignment: [
        [0, 1, 2],
        [3, 4, 5],
      ],
    };
    const assignment = fields(build(encodeCompileOptions(options))[9]![0] as Uint8Array);
    expect(assignment).toMatchObject({ 1: [2], 2: [3] });
    const ids = assignment[3]!.map((device) => [...(fields(device as Uint8Array)[1]![0] as Uint8Array)]);
    expect(ids).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
  });

  it('writes flags by their type', () => {
    const debugOptions = { a: 'x', b: false, c: 7, d: 0.5, e: -1n };
    const entries = fields(encodeCompileOptions({ debugOptions }))[7]!.map((entry) =>
      fields(entry as Uint8Array),
    );
    const values = entries.map((entry) => [text(entry[1]![0]), fields(entry[2]![0] as Uint8Array)] as const);
    expect(text(values[0]![1][1]![0])).toBe('x');
    expect(values.slice(1)).toEqual([
      ['b', { 2: [0] }],
      ['c', { 3: [7] }],
      ['d', { 4: [0.5] }],
      ['e', { 3: [-1] }],
    ]);
  });

  it('marks a portable program, which must name no device', () => {
    const bytes = encodeCompileOptions({ portable: true });
    expect(fields(bytes)[4]).toEqual([1]);
    expect(build(bytes)[1]).toBeUndefined();
  });
});
