/** Exchanges read from compiled programs, and from a module written by hand in the forms that other plugins use. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, it } from 'vitest';
import { cpuClient } from '../test/plugin';
import { collectivesOf } from './collectives';

/** Rows times layers' weights, which are in parts and gathered in a loop of `steps`; the sum of all rows at its end. */
const looped = (steps: number) => `module {
  sdy.mesh @mesh = <["copy"=2, "shard"=2]>
  func.func @main(%x: tensor<8x4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"copy", "shard"}, {}]>},
                  %w: tensor<${steps}x4x4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"shard"}, {}]>})
      -> (tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}) {
    %from = stablehlo.constant dense<0> : tensor<i32>
    %0:2 = stablehlo.while(%i = %from, %h = %x) : tensor<i32>, tensor<8x4xf32>
     cond {
      %n = stablehlo.constant dense<${steps}> : tensor<i32>
      %c = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %c : tensor<i1>
    } do {
      %one = stablehlo.constant dense<1> : tensor<i32>
      %zero = stablehlo.constant dense<0> : tensor<i32>
      %next = stablehlo.add %i, %one : tensor<i32>
      %s = stablehlo.dynamic_slice %w, %i, %zero, %zero, sizes = [1, 4, 4]
        : (tensor<${steps}x4x4xf32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<1x4x4xf32>
      %r = stablehlo.reshape %s : (tensor<1x4x4xf32>) -> tensor<4x4xf32>
      %g = sdy.sharding_constraint %r <@mesh, [{}, {}]> : tensor<4x4xf32>
      %y = stablehlo.dot_general %h, %g, contracting_dims = [1] x [0] : (tensor<8x4xf32>, tensor<4x4xf32>) -> tensor<8x4xf32>
      stablehlo.return %next, %y : tensor<i32>, tensor<8x4xf32>
    }
    %z = stablehlo.constant dense<0.0> : tensor<f32>
    %1 = stablehlo.reduce(%0#1 init: %z) applies stablehlo.add across dimensions = [0] : (tensor<8x4xf32>, tensor<f32>) -> tensor<4xf32>
    return %1 : tensor<4xf32>
  }
}`;

describe('collectives of a compiled program', () => {
  it('are those of the loop as often as it runs, with their groups', async () => {
    const client = await cpuClient(4);
    const program = await client.compile(looped(5), { numPartitions: 4 });
    const found = program.collectives();
    const gathers = found.filter(({ operation }) => operation === 'all-gather');
    expect(gathers).toEqual([
      {
        operation: 'all-gather',
        bytes: 64,
        groups: [
          [0, 1],
          [2, 3],
        ],
        times: 5,
      },
    ]);
    const sums = found.filter(({ operation }) => operation === 'all-reduce');
    expect(sums.reduce((bytes, each) => bytes + each.bytes * each.times, 0)).toBe(16);
    expect(sums[0]!.groups.flat().toSorted()).toEqual([0, 1, 2, 3]);
    client.dispose();
  });

  it('are none on one device', async () => {
    const client = await cpuClient(1);
    const text = 'module { func.func @main(%x: tensor<f32>) -> tensor<f32> { return %x : tensor<f32> } }';
    expect((await client.compile(text)).collectives()).toEqual([]);
    client.dispose();
  });
});

type Field = readonly [number, number | string | Uint8Array];

function message(...fields: Field[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const [field, value] of fields) {
    if (typeof value === 'number') writer.tag(field, WireType.Varint).int64(value);
    else if (typeof value === 'string') writer.tag(field, WireType.LengthDelimited).string(value);
    else writer.tag(field, WireType.LengthDelimited).bytes(value);
  }
  return writer.finish();
}
const BF16 = 16;
const array = (...dims: number[]) => message([2, BF16], ...dims.map((dim): Field => [3, dim]));
const tuple = (...members: Uint8Array[]) => message([2, 13], ...members.map((each): Field => [4, each]));
const instruction = (opcode: string, shape: Uint8Array, ...more: Field[]) =>
  message([2, opcode], [3, shape], ...more);
const computation = (id: number, ...all: Uint8Array[]) =>
  message([5, id], ...all.map((each): Field => [2, each]));
const module = (...computations: Uint8Array[]) =>
  message([6, 1], ...computations.map((each): Field => [3, each]));
/** An arrangement of devices: so many groups of so many, and how they are cut from all. */
const iota = (groups: number, size: number, dims: number[], permutation: number[]) =>
  message([
    2,
    message(
      [1, groups],
      [2, size],
      ...dims.map((d): Field => [3, d]),
      ...permutation.map((p): Field => [4, p]),
    ),
  ]);

const meshOf = (...sizes: number[]) =>
  message(...sizes.map((size, i): Field => [1, message([1, `axis_${i}`], [2, size])]));

describe('forms of other plugins', () => {
  const one = (...all: Uint8Array[]) => collectivesOf(module(computation(1, ...all)), 8);

  it.each([
    [
      'a gather that starts apart from its end',
      instruction('all-gather-start', tuple(array(2, 3), array(8, 3)), [87, iota(2, 4, [8], [])]),
      {
        operation: 'all-gather',
        bytes: 48,
        groups: [
          [0, 1, 2, 3],
          [4, 5, 6, 7],
        ],
      },
    ],
    [
      'groups across an arrangement',
      instruction('all-reduce-start', array(10), [87, iota(4, 2, [2, 4], [1, 0])]),
      {
        operation: 'all-reduce',
        bytes: 20,
        groups: [
          [0, 4],
          [1, 5],
          [2, 6],
          [3, 7],
        ],
      },
    ],
    [
      'several tensors at once, over all devices',
      instruction('all-reduce', tuple(array(10), array(5))),
      { operation: 'all-reduce', bytes: 30, groups: [[0, 1, 2, 3, 4, 5, 6, 7]] },
    ],
    [
      'what is left of a sum',
      instruction('reduce-scatter', array(4), [49, message([1, 0], [1, 1])], [49, message([1, 2], [1, 3])]),
      {
        operation: 'reduce-scatter',
        bytes: 16,
        groups: [
          [0, 1],
          [2, 3],
        ],
      },
    ],
    [
      'axes of a mesh',
      instruction('all-gather', array(8), [
        93,
        message([1, meshOf(2, 2, 2)], [2, message([1, 2])], [2, message()]),
      ]),
      {
        operation: 'all-gather',
        bytes: 16,
        groups: [
          [0, 4, 1, 5],
          [2, 6, 3, 7],
        ],
      },
    ],
    [
      'a factor of an axis',
      instruction('all-reduce', array(8), [
        93,
        message([1, meshOf(8)], [2, message([2, message([1, 2], [2, 2])])]),
      ]),
      {
        operation: 'all-reduce',
        bytes: 16,
        groups: [
          [0, 2],
          [1, 3],
          [4, 6],
          [5, 7],
        ],
      },
    ],
    [
      'pairs',
      instruction('collective-permute', array(4), [52, message([1, 0], [2, 1])], [52, message([1, 1])]),
      {
        operation: 'collective-permute',
        bytes: 8,
        groups: [
          [0, 1],
          [1, 0],
        ],
      },
    ],
  ])('%s', (_, given, expected) => {
    expect(one(given, instruction('all-gather-done', array(8, 3)))).toEqual([{ ...expected, times: 1 }]);
  });

  it('loops within loops multiply; one of unknown length counts once; what is called twice counts twice', () => {
    const body = computation(3, instruction('all-reduce', array(1)));
    const inner = computation(
      2,
      instruction('while', tuple(), [38, 3], [43, '{"known_trip_count":{"n":"7"}}']),
    );
    const outer = instruction('while', tuple(), [38, 2], [43, '{"known_trip_count":{"n":"3"}}']);
    const times = (...entry: Uint8Array[]) =>
      collectivesOf(module(body, inner, computation(1, ...entry)), 2).map((each) => each.times);
    expect(times(outer)).toEqual([21]);
    expect(times(instruction('while', tuple(), [38, 3]))).toEqual([1]);
    expect(times(instruction('call', tuple(), [38, 3]), outer)).toEqual([22]);
  });
});
