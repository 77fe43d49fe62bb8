import './index';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  cast,
  compileAhead,
  type Jitted,
  jit,
  mesh,
  random,
  scaledDotProductAttention,
  scan,
  shardMap,
  whileLoop,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { client } from './runtime/client';

beforeAll(async () => {
  await tf.setBackend('xla');
});

/** Growth of host memory that counts as none. */
const FLAT = 0.01;

/** Host memory after collections; of V8's heap what is in use: it sizes the room for young objects as it likes. */
async function hostBytes(): Promise<number> {
  setFlagsFromString('--expose_gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { rss, heapTotal, heapUsed } = process.memoryUsage();
  return rss - heapTotal + heapUsed;
}

/** A number that the device is busy with for a while. */
function work(): tf.Tensor {
  const x = tf.fill([2000, 2000], 1e-3);
  return tf.mean(tf.matMul(tf.matMul(x, x), x));
}

/**
 * What is left of `count` runs of `step`, after `warmUp` runs that let caches and allocators fill. A leak grows every time;
 * memory that grew once, as when the compiler of JavaScript got to it late, is measured again.
 */
async function leftBy(step: () => void, count: number, warmUp: number) {
  for (let i = 0; i < warmUp; i++) step();
  const [tensors, buffers] = [tf.memory().numTensors, client().liveBuffers];
  let grown = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < 3 && grown >= FLAT; attempt++) {
    const bytes = await hostBytes();
    for (let i = 0; i < count; i++) step();
    grown = ((await hostBytes()) - bytes) / bytes;
  }
  return { tensors: tf.memory().numTensors - tensors, buffers: client().liveBuffers - buffers, grown };
}

describe('an eager call leaves its results only:', () => {
  interface Inputs {
    readonly x: tf.Tensor;
    readonly key: tf.Tensor1D;
    readonly index: tf.Tensor;
    readonly q: tf.Tensor4D;
    readonly mask: tf.Tensor;
    readonly carry: tf.Tensor;
  }
  const sum = (y: tf.Tensor) => tf.sum(y) as tf.Scalar;
  const CALLS: Record<string, (inputs: Inputs) => tf.TensorContainer> = {
    'random.key': () => random.key(7),
    'random.split': ({ key }) => random.split(key, 3),
    'random.foldIn of a number': ({ key }) => random.foldIn(key, 3),
    'random.foldIn of a tensor': ({ key, index }) => random.foldIn(key, index),
    'random.normal': ({ key }) => random.normal(key, [3]),
    'random.uniform': ({ key }) => random.uniform(key, [3]),
    cast: ({ x }) => cast(x, 'bfloat16'),
    attention: ({ q }) => scaledDotProductAttention(q, q, q),
    'attention with a mask': ({ q, mask }) => scaledDotProductAttention(q, q, q, { mask }),
    scan: ({ x, carry }) => scan((c: tf.Tensor, row: tf.Tensor) => [tf.add(c, row), tf.exp(row)], carry, x),
    whileLoop: ({ x }) =>
      whileLoop(
        (y: tf.Tensor) => tf.less(tf.sum(y), 20),
        (y) => tf.add(y, 1),
        x,
      ),
    jit: ({ x }) => jit((y: tf.Tensor) => tf.mul(tf.add(y, 1), 2))(x),
    'a gradient': ({ x }) => tf.grad((y) => sum(tf.exp(cast(y, 'bfloat16'))))(x),
  };
  it.each(Object.entries(CALLS))('%s', (_, call) => {
    const inputs: Inputs = {
      x: tf.ones([4, 2]),
      key: random.key(7),
      index: tf.scalar(3, 'int32'),
      q: tf.ones([1, 3, 2, 4]),
      mask: tf.zeros([1, 1, 3, 3]),
      carry: tf.zeros([2]),
    };
    const before = tf.memory().numTensors;
    tf.dispose(call(inputs));
    expect(tf.memory().numTensors - before).toBe(0);
    tf.dispose({ ...inputs });
  });
});

describe('memory', () => {
  it('is flat to 1 % over 1,000 steps of a training loop', async () => {
    const step = jit(
      (w: tf.Tensor, x: tf.Tensor) => {
        const { value, grads } = tf.valueAndGrads(
          (v: tf.Tensor) => tf.mean(tf.square(tf.matMul(x, v))) as tf.Scalar,
        )([w]);
        return [tf.sub(w, tf.mul(grads[0]!, 0.01)), value] as [tf.Tensor, tf.Tensor];
      },
      { donate: [0] },
    );
    let w: tf.Tensor = tf.ones([64, 16]);
    const train = () => {
      const x = tf.tensor2d(new Float32Array(32 * 64).fill(0.5), [32, 64]);
      const [next, loss] = step(w, x);
      expect(loss.dataSync()[0]).toBeGreaterThanOrEqual(0);
      tf.dispose([w, x, loss]);
      w = next;
    };
    const { tensors, buffers, grown } = await leftBy(train, 1000, 2000);
    expect({ tensors, buffers }).toEqual({ tensors: 0, buffers: 0 });
    expect(grown).toBeLessThan(FLAT);
    w.dispose();
  });

  it('is flat to 1 % over 100,000 dispatches (npm run soak makes a million)', async () => {
    const f = jit((x: tf.Tensor) => tf.add(x, 1));
    const x = tf.ones([2, 2]);
    const { tensors, buffers, grown } = await leftBy(() => f(x).dispose(), 100_000, 20_000);
    expect({ tensors, buffers }).toEqual({ tensors: 0, buffers: 0 });
    expect(grown).toBeLessThan(FLAT);
  });

  const USES: Record<string, (f: Jitted<[x: tf.Tensor], tf.Tensor>, x: tf.Tensor) => Promise<void> | void> = {
    'were called': (f, x) => f(x).dispose(),
    'were called under a gradient': (f, x) =>
      tf
        .grad((y) => tf.sum(f(y)))(x)
        .dispose(),
    'were compiled': (f, x) => f.compile(x),
    'were lowered': (f, x) => void f.lower(x).cost(),
    'were planned': async (f, x) => void (await compileAhead(() => f(x)))[0]!.cost(),
    'run on every device by itself': (f, x) =>
      shardMap((own: tf.Tensor) => [f(own)], {
        mesh: mesh({ data: 1 }),
        inSpecs: [['data']],
        outSpecs: [['data']],
      })(x)[0]!.dispose(),
  };
  it.each(Object.entries(USES))(
    'of functions that %s is freed with them, with what they captured',
    async (_, use) => {
      const x = tf.ones([4]);
      tf.add(x, 0).dispose(); // uploads both
      const live = client().liveBuffers;
      const functions: WeakRef<object>[] = [];
      const make = async () => {
        const captured = tf.add(x, functions.length);
        const f = (y: tf.Tensor) => tf.mul(y, captured);
        await use(jit(f), x);
        captured.dispose();
        functions.push(new WeakRef(f));
      };
      for (let i = 0; i < 3; i++) await make();
      for (let attempt = 0; attempt < 20 && client().liveBuffers > live; attempt++) await hostBytes();
      expect(functions.map((f) => f.deref())).toEqual([undefined, undefined, undefined]);
      expect(client().liveBuffers).toBe(live);
      x.dispose();
    },
  );

  it('is freed by tidy', () => {
    const x = tf.ones([1000]);
    tf.add(x, 1).dispose();
    const [tensors, buffers] = [tf.memory().numTensors, client().liveBuffers];
    const kept = tf.tidy(() => tf.mul(tf.add(x, 1), tf.sub(x, 1)));
    expect(client().liveBuffers).toBe(buffers + 1);
    kept.dispose();
    expect(tf.memory().numTensors).toBe(tensors);
    expect(client().liveBuffers).toBe(buffers);
  });

  it.each(['idle', 'busy'])(
    'of what runs out names the operation, the bytes asked for and free, and leaves the backend usable: %s',
    (device) => {
      const n = 2 ** 21;
      const huge = jit((x: tf.Tensor) => tf.add(tf.fill([n, 2 * n], 1), x), { name: 'huge' });
      const [tensors, buffers] = [tf.memory().numTensors, client().liveBuffers];
      /** Thrown by the call where the device is free, and by what reads the result where work is queued before it. */
      const failure = (f: (x: tf.Tensor) => tf.Tensor) => () =>
        tf.tidy(() => {
          const x = device === 'busy' ? work() : tf.scalar(1);
          return tf.mean(f(x)).dataSync();
        });
      expect(failure(() => tf.fill([n, n], 1))).toThrow(
        /\bFill(?: failed)?: .*asked for 16\.0 TiB, .* of .* free on/,
      );
      expect(failure(huge)).toThrow(/\bhuge(?: failed)?: .*asked for 32\.0 TiB/);
      expect(tf.memory().numTensors).toBe(tensors);
      expect(client().liveBuffers).toBeLessThanOrEqual(buffers);
      expect(tf.add(1, 1).dataSync()[0]).toBe(2);
    },
  );

  it('that runs out while a program runs names it, whichever program reads the result', async () => {
    const side = 2 ** 21;
    const slow = jit(
      (x: tf.Tensor) => {
        // Long enough that the call returns before the sort asks for its memory.
        const late = Array.from({ length: 20 }).reduce<tf.Tensor>((y) => tf.tanh(tf.matMul(y, x)), x);
        const row = tf.mul(tf.range(0, side), tf.mean(late));
        return tf.mean(tf.topk(tf.add(tf.reshape(row, [side, 1]), row), 2).values);
      },
      { name: 'slow' },
    );
    const x = tf.fill([512, 512], 1e-3);
    const said = /slow.*asked for 1\d\.\d TiB, .* free on/;
    expect(() => slow(x).dataSync()).toThrow(said);
    await expect((async () => tf.sqrt(tf.add(slow(x), 1)).data())()).rejects.toThrow(said);
    expect(tf.add(1, 1).dataSync()[0]).toBe(2);
  });

  it('is freed by dispose', () => {
    const x = tf.ones([1000]);
    const before = client().liveBuffers;
    const y = tf.add(x, 1);
    const z = tf.reshape(y, [10, 100]);
    y.dispose();
    expect(z.dataSync()[0]).toBe(2);
    z.dispose();
    expect(client().liveBuffers).toBeLessThanOrEqual(before + 1); // x itself was uploaded
  });
});

describe('moving between backends', () => {
  it('takes tensors along, both ways', async () => {
    const x = tf.tensor1d([1, 2, 3]);
    const y = tf.add(x, 1);
    await tf.setBackend('cpu');
    const z = tf.mul(y, x);
    expect([...z.dataSync()]).toEqual([2, 6, 12]);
    await tf.setBackend('xla');
    expect([...tf.add(z, y).dataSync()]).toEqual([4, 9, 16]);
  });
});
