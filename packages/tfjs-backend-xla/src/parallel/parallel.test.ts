import { PjrtBuffer } from '@flow-grpo/pjrt';
import { expectClose } from '@flow-grpo/test-support';
import {
  allGather,
  allReduce,
  axisIndex,
  cast,
  jit,
  mesh,
  random,
  readShards,
  reduceScatter,
  replicate,
  scan,
  shard,
  shardingOf,
  shardMap,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { compilationStats, configure } from '../index';
import { client } from '../runtime/client';

beforeAll(async () => {
  configure({ devices: 4 });
  await tf.setBackend('xla');
});

const values = (x: tf.Tensor) => [...x.dataSync()];
const count = (n: number) => tf.range(0, n);

describe('shard', () => {
  it.each([
    [{ data: 2 }, ['data']],
    [{ data: 4 }, [null, 'data']],
    [{ data: 2, model: 2 }, ['data', 'model']],
    [{ data: 2, model: 2 }, ['model', 'data']],
    [{ data: 2, model: 2 }, [['data', 'model']]],
    [{ data: 2, model: 2 }, [null, null, 'model']],
    [{ data: 4 }, []],
  ])('on %j by %j reads back the same', async (axes, spec) => {
    const x = tf.reshape(count(4 * 8 * 6), [4, 8, 6]);
    const y = shard(x, mesh(axes as unknown as Record<string, number>), spec);
    expect(await y.data()).toEqual(await x.data());
    expect(values(tf.add(y, 1))).toEqual(values(tf.add(x, 1)));
  });

  it('cuts what lies on the first device by one program for all devices', () => {
    const x = tf.mul(tf.reshape(count(4 * 13), [4, 13]), 2);
    const made = () => compilationStats().compiled + compilationStats().loadedFromDisk;
    const before = made();
    const y = shard(x, mesh({ data: 4 }), ['data']);
    expect(made() - before).toBe(1);
    expect(values(y)).toEqual(values(x));
  });

  it.each([
    [['data'], [null, 'model']],
    [[], ['data', 'model']],
    [['data', 'model'], []],
  ])('moves from %j to %j and from one device between devices, past the host', (from, to) => {
    const m = mesh({ data: 2, model: 2 });
    const x = tf.mul(tf.reshape(count(32), [4, 8]), 2); // on the first device
    const expected = values(x);
    const [tensors, buffers] = [tf.memory().numTensors, client().liveBuffers];
    const read = vi.spyOn(PjrtBuffer.prototype, 'toHostSync');
    const [first, moved] = tf.tidy(() => {
      const start = shard(x, m, from);
      return [tf.keep(start), tf.keep(shard(start, m, to))];
    });
    expect(read).not.toHaveBeenCalled();
    read.mockRestore();
    for (const [y, spec] of [
      [first, from],
      [moved, to],
    ] as const) {
      expect(values(y!)).toEqual(expected);
      expect(shardingOf(y!)!.spec).toEqual([spec[0] ?? null, spec[1] ?? null]);
    }
    expect(client().liveBuffers - buffers).toBe(2 * 4);
    tf.dispose([first!, moved!]);
    expect(client().liveBuffers).toBe(buffers);
    expect(tf.memory().numTensors).toBe(tensors);
    expect(values(x)).toEqual(expected);
  });

  it('reads what each device holds, once', async () => {
    const m = mesh({ data: 2, model: 2 });
    const read = async (spec: Parameters<typeof shard>[2]) =>
      (await readShards(shard(tf.reshape(count(8), [4, 2]), m, spec))).map(({ bytes, ...part }) => ({
        ...part,
        values: [...new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)],
      }));
    expect(await read([null, 'model'])).toEqual([
      { device: 0, start: [0, 0], shape: [4, 1], values: [0, 2, 4, 6] },
      { device: 1, start: [0, 1], shape: [4, 1], values: [1, 3, 5, 7] },
    ]);
    expect(await read(['data'])).toEqual([
      { device: 0, start: [0, 0], shape: [2, 2], values: [0, 1, 2, 3] },
      { device: 2, start: [2, 0], shape: [2, 2], values: [4, 5, 6, 7] },
    ]);
    const [whole, ...rest] = await readShards(cast(tf.tensor1d([1, 2]), 'bfloat16'));
    expect(rest).toEqual([]);
    expect(whole).toMatchObject({ device: 0, start: [0], shape: [2], bytes: { byteLength: 4 } });
  });

  it('reads one of several copies', async () => {
    const m = mesh({ data: 2, model: 2 });
    const read = vi.spyOn(PjrtBuffer.prototype, 'toHost');
    const copies = replicate(count(6), m);
    expect([...(await copies.data())]).toEqual([0, 1, 2, 3, 4, 5]);
    expect(read).toHaveBeenCalledTimes(1);
    const split = shard(tf.reshape(count(8), [4, 2]), m, [null, 'model']);
    expect([...(await split.data())]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(read).toHaveBeenCalledTimes(3);
    read.mockRestore();
  });

  it('names what is not divisible', () => {
    expect(() => shard(count(6), mesh({ data: 4 }), ['data'])).toThrow(/not divisible into 4/);
    expect(() => shard(count(6), mesh({ data: 2 }), ['model'])).toThrow(/no axis "model"/);
    expect(() => mesh({ data: 8 })).toThrow(/needs 8 devices, there are 4/);
  });
});

describe('jit over sharded tensors', () => {
  it.each([2, 4])('partitions over %i devices', (n) => {
    const m = mesh({ data: n });
    const f = jit((x: tf.Tensor, w: tf.Tensor) => tf.mul(tf.add(x, w), 2));
    const [x, w] = [tf.reshape(count(32), [8, 4]), tf.tensor1d([1, 2, 3, 4])];
    const out = f(shard(x, m, ['data']), replicate(w, m));
    expect(values(out)).toEqual(values(f(x, w)));
    expect(shardingOf(out)!.spec).toEqual(['data', null]);
    // A tensor on one device joins those of the mesh.
    expect(values(f(shard(x, m, ['data']), w))).toEqual(values(f(x, w)));
  });

  it('draws the same random numbers however they are split', () => {
    const m = mesh({ data: 4 });
    const draw = jit((key: tf.Tensor) => shard(random.normal(key, [8, 3]), m, ['data']));
    const key = random.key(4);
    const split = draw(key);
    expect(shardingOf(split)!.spec).toEqual(['data', null]);
    expectClose(split.dataSync(), random.normal(key, [8, 3]).dataSync(), 1e-6);
  });

  it('keeps donated shards in place', () => {
    const m = mesh({ data: 2 });
    const step = jit((x: tf.Tensor) => tf.add(x, 1), { donate: [0] });
    let x = shard(count(8), m, ['data']);
    for (let i = 0; i < 3; i++) x = step(x) as tf.Tensor1D;
    expect(values(x)).toEqual([3, 4, 5, 6, 7, 8, 9, 10]);
    expect(shardingOf(x)!.spec).toEqual(['data']);
  });
});

describe('shardMap', () => {
  it('exchanges between devices', () => {
    const m = mesh({ data: 4 });
    const f = shardMap(
      (x: tf.Tensor) => [
        allReduce(x, 'data'),
        allGather(x, 'data'),
        reduceScatter(allGather(x, 'data'), 'data'),
        tf.reshape(axisIndex('data'), [1]),
        allReduce(x, 'data', 'max'),
      ],
      { mesh: m, inSpecs: [['data']], outSpecs: [[], [], ['data'], ['data'], []] },
    );
    const [sum, all, scattered, index, max] = f(count(8)).map(values);
    expect(sum).toEqual([12, 16]);
    expect(all).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(scattered).toEqual([0, 4, 8, 12, 16, 20, 24, 28]);
    expect(index).toEqual([0, 1, 2, 3]);
    expect(max).toEqual([6, 7]);
  });

  it('exchanges along one axis of two', () => {
    const m = mesh({ data: 2, model: 2 });
    const f = shardMap((x: tf.Tensor) => [allReduce(x, 'model')], {
      mesh: m,
      inSpecs: [[['data', 'model']]],
      outSpecs: [['data']],
    });
    expect(values(f(count(4))[0]!)).toEqual([1, 5]);
  });

  it('has the gradients of the whole', () => {
    const m = mesh({ data: 4 });
    const mapped = shardMap((x: tf.Tensor, w: tf.Tensor) => [allReduce(tf.mul(tf.square(x), w), 'data')], {
      mesh: m,
      inSpecs: [['data'], []],
      outSpecs: [[]],
    });
    const x = tf.tensor1d([1, 2, 3, 4, 5, 6, 7, 8]);
    const w = tf.tensor1d([2, 3]);
    const dy = tf.tensor1d([1, 10]);
    const whole = (a: tf.Tensor, b: tf.Tensor) => tf.sum(tf.mul(tf.square(tf.reshape(a, [4, 2])), b), 0);
    const grads = (f: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor) =>
      jit((a: tf.Tensor, b: tf.Tensor) => tf.grads(f)([a, b], dy));
    const actual = grads((a, b) => mapped(a, b)[0]!)(x, w);
    const expected = grads(whole)(x, w);
    actual.forEach((grad, i) => {
      expectClose(values(grad), values(expected[i]!), 1e-4);
    });
  });

  it('reads tensors from outside whole on every device, in loops and under gradients taken inside, too', () => {
    const m = mesh({ data: 2 });
    const outside = count(20);
    const variable = tf.variable(tf.fill([20], 2));
    const f = shardMap(
      (x: tf.Tensor) => {
        const [sum] = scan(
          (c: tf.Tensor, row: tf.Tensor) => [tf.add(c, tf.mul(row, outside)), null],
          tf.zeros([20]),
          x,
        );
        const grad = tf.grad((y: tf.Tensor) => tf.sum(tf.mul(y, tf.mul(outside, variable))))(sum);
        return [tf.reshape(tf.sum(sum), [1]), grad];
      },
      { mesh: m, inSpecs: [['data']], outSpecs: [['data'], []] },
    );
    const call = () => f(tf.tile(tf.tensor2d([[1], [2], [3], [4]]), [1, 20])).map(values);
    const ramp = values(outside);
    expect(call()).toEqual([[3 * 190, 7 * 190], ramp.map((i) => 2 * i)]);
    variable.assign(tf.fill([20], 3));
    expect(call()[1]).toEqual(ramp.map((i) => 3 * i));
    variable.dispose();
  });

  it('refuses tensors from around it, and from outside where gradients would miss them', () => {
    const m = mesh({ data: 2 });
    const outside = count(100);
    const specs = { mesh: m, inSpecs: [[]], outSpecs: [[]] };
    const f = shardMap((x: tf.Tensor) => [tf.add(x, outside)], specs);
    expect(() => tf.grad((x) => f(x)[0]!)(tf.zeros([100]))).toThrow(/pass it as an argument/);
    const around = jit((x: tf.Tensor) => {
      const made = tf.add(x, 1);
      return shardMap((y: tf.Tensor) => [tf.add(y, made)], specs)(x)[0]!;
    });
    expect(() => around(tf.zeros([100]))).toThrow(/pass it as an argument/);
    expect(() => allReduce(outside, 'data')).toThrow(/inside a function given to shardMap/);
  });
});
