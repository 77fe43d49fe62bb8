import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it } from 'vitest';
import { COMPILER, type Compiler, type DeviceInfo, hasCompiler } from '../compiler';
import { onPlainBackends } from '../testing/backends';
import { allReduce } from './collectives';
import { defaultStorage, deviceInfo, isOutOfMemory } from './device-info';
import { mesh } from './mesh';
import { evenSpec, sharding } from './partition';
import { gatherShards, readShards, replicate, shard, shardInPlace, shardingOf, shardLike } from './shard';
import { shardMap } from './shard-map';

onPlainBackends('without a compiler', (backend) => {
  it('there is one device, of the backend’s name, and weights are float32', () => {
    expect(hasCompiler()).toBe(false);
    expect(deviceInfo()).toMatchObject([{ kind: backend, platform: backend }]);
    expect(defaultStorage()).toBe('float32');
  });

  it('what needs several devices says how to get them', async () => {
    const x = tf.zeros([2]);
    const m = { axes: { data: 2 }, size: 2 };
    const said = new RegExp(`needs? a backend that compiles, and ${backend} is active.*startXla\\(\\)`);
    expect(() => mesh({ data: 2 })).toThrow(said);
    expect(() => shard(x, m, ['data'])).toThrow(said);
    expect(() => replicate(x, m)).toThrow(said);
    expect(() => shardInPlace(x, m, ['data'])).toThrow(said);
    expect(() => shardMap((y: tf.Tensor) => [y], { mesh: m, inSpecs: [[]], outSpecs: [[]] })(x)).toThrow(
      said,
    );
    await expect(readShards(x)).rejects.toThrow(said);
    expect(() => allReduce(x, 'data')).toThrow(/inside a function given to shardMap only/);
  });

  it('what is of one device comes back as it is', () => {
    const x = tf.zeros([2]);
    expect(shardingOf(x)).toBeUndefined();
    expect(gatherShards({ x }).x).toBe(x);
    expect(shardLike(x, tf.ones([2]))).toBe(x);
    expect(() => shardLike(x, tf.ones([3]))).toThrow(/shapes differ/);
  });

  it('a RangeError of an allocation is out of memory, other errors are not', () => {
    const allocation = () => new ArrayBuffer(2 ** 52);
    let error: unknown;
    try {
      allocation();
    } catch (thrown) {
      error = thrown;
    }
    expect(isOutOfMemory(error)).toBe(true);
    for (const other of [new RangeError('toFixed() digits argument'), new Error('disposed'), undefined]) {
      expect(isOutOfMemory(other)).toBe(false);
    }
  });
});

describe('specs', () => {
  const m = { axes: { data: 4, model: 2 }, size: 8 };

  it('split the longest axis that divides evenly', () => {
    expect(evenSpec([8, 64], m, 'data')).toEqual([null, ['data']]);
    expect(evenSpec([64, 8], m)).toEqual([['data', 'model']]);
    expect(evenSpec([64, 8], m, 'data', 1)).toEqual([null, ['data']]);
    expect(evenSpec([3, 5], m)).toEqual([]);
    expect(() => evenSpec([4], m, 'rows')).toThrow(/data=4,model=2 has no axis "rows"/);
  });

  it('are checked against a shape', () => {
    expect(sharding(m, ['data', ['model']], [8, 4, 3]).spec).toEqual([['data'], ['model'], []]);
    expect(() => sharding(m, ['data'], [6])).toThrow(/not divisible into 4 parts/);
    expect(() => sharding(m, ['data', 'data'], [8, 8])).toThrow(/used twice/);
    expect(() => sharding(m, [null, 'data'], [8])).toThrow(/more axes than the tensor/);
    expect(() => sharding(m, ['rows'], [8])).toThrow(/no axis "rows"/);
  });
});

describe('the compiler of the active backend', () => {
  const carrier = async (compiler: Partial<Compiler>) => {
    await tf.setBackend('cpu');
    Object.assign(tf.backend(), { [COMPILER]: compiler });
  };
  afterEach(() => {
    delete (tf.findBackend('cpu') as { [COMPILER]?: unknown })[COMPILER];
  });
  const device = (platform: string): DeviceInfo => ({
    kind: platform,
    platform,
    bytesInUse: 1,
    peakBytesInUse: 2,
    bytesLimit: 3,
    process: 0,
    isLocal: true,
  });

  it('is found on its instance, by a symbol that copies of this package share', async () => {
    expect(COMPILER).toBe(Symbol.for('@flow-grpo/tfjs-jit/compiler'));
    await carrier({ deviceInfo: () => [device('cuda'), device('cuda')] });
    expect(hasCompiler()).toBe(true);
    expect(deviceInfo()).toHaveLength(2);
    await tf.setBackend('wasm');
    expect(hasCompiler()).toBe(false);
    await tf.setBackend('cpu');
    expect(hasCompiler()).toBe(true);
  });

  it.each([
    ['cpu', 'float32'],
    ['cuda', 'bfloat16'],
  ])('on %s stores weights as %s by default', async (platform, storage) => {
    await carrier({ deviceInfo: () => [device(platform)] });
    expect(defaultStorage()).toBe(storage);
  });

  it('makes meshes over its devices, and says how to have more', async () => {
    await carrier({ deviceInfo: () => [device('cpu')], moreDevices: (count) => `ask for ${count}` });
    expect(mesh({ data: 1 })).toEqual({ axes: { data: 1 }, size: 1 });
    expect(() => mesh({ data: 2, model: 2 })).toThrow(
      /data=2,model=2 needs 4 devices, there are 1; ask for 4/,
    );
    expect(() => mesh({ 'a b': 1 })).toThrow(/identifier/);
    expect(() => mesh({ data: 0 })).toThrow(/size 0/);
  });

  it('says which errors mean too little memory', async () => {
    await carrier({ isOutOfMemory: (error) => error === 'full' });
    expect(isOutOfMemory('full')).toBe(true);
    expect(isOutOfMemory('broken')).toBe(false);
  });
});
