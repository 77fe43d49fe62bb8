import * as tf from '@tensorflow/tfjs-core';
import { expect, it, vi } from 'vitest';
import { onPlainBackends } from './testing/backends';
import { tidyAsync } from './tidy-async';

const later = () => new Promise<void>((resolve) => setTimeout(resolve, 1));
const count = () => tf.memory().numTensors;

onPlainBackends('tidyAsync', () => {
  it('frees what a function makes before and after it waits, and keeps its result', async () => {
    const before = count();
    const result = await tidyAsync(async () => {
      const x = tf.add(tf.ones([2]), 1);
      await later();
      const y = tf.mul(x, 3); // x is still there
      await y.data();
      return { y, parts: [tf.neg(y)], name: 'result' };
    });
    expect([...result.y.dataSync()]).toEqual([6, 6]);
    expect([...result.parts[0]!.dataSync()]).toEqual([-6, -6]);
    expect(count()).toBe(before + 2);
    tf.dispose([result.y, ...result.parts]);
  });

  it('takes functions that answer at once', async () => {
    const before = count();
    expect(await tidyAsync(() => tf.sum(tf.ones([3])).dataSync()[0])).toBe(3);
    expect(count()).toBe(before);
  });

  it('leaves alone what is kept, what is a variable, and what was there before', async () => {
    const [x, before] = [tf.ones([2]), count()];
    const [kept, variable] = await tidyAsync(async () => {
      await later();
      const one = tf.keep(tf.add(x, 1));
      return [() => one, tf.variable(tf.zeros([2]))] as const;
    });
    expect([...kept().dataSync(), ...variable.dataSync(), ...x.dataSync()]).toEqual([2, 2, 0, 0, 1, 1]);
    expect(count()).toBe(before + 2);
    kept().dispose();
    variable.dispose();
    x.dispose();
  });

  it('leaves nothing of a function that fails, at once or later', async () => {
    const before = count();
    const atOnce = tidyAsync(() => {
      tf.ones([2]);
      throw new Error('at once');
    });
    await expect(atOnce).rejects.toThrow('at once');
    const afterwards = tidyAsync(async () => {
      await later();
      tf.ones([2]);
      throw new Error('later');
    });
    await expect(afterwards).rejects.toThrow('later');
    expect(count()).toBe(before);
  });

  it('tells calls that run at the same time apart, and from their caller', async () => {
    const before = count();
    const call = (value: number) =>
      tidyAsync(async () => {
        const x = tf.scalar(value);
        await later();
        return tf.square(x);
      });
    const both = [call(2), call(3)];
    const own = tf.add(tf.scalar(1), 1); // the caller's, while they wait: two tensors
    const squares = await Promise.all(both);
    expect(squares.map((square) => square.dataSync()[0])).toEqual([4, 9]);
    expect(own.dataSync()[0]).toBe(2);
    expect(count()).toBe(before + 4);
    tf.dispose(squares);
    own.dispose();
  });

  it('nests: what an inner call returns belongs to the outer one', async () => {
    const before = count();
    const value = await tidyAsync(async () => {
      const inner = await tidyAsync(async () => {
        await later();
        return tf.add(tf.scalar(1), 1);
      });
      return (await inner.data())[0];
    });
    expect(value).toBe(2);
    expect(count()).toBe(before);
  });

  it('does not gather what is gone', async () => {
    const value = await tidyAsync(async () => {
      for (let i = 0; i < 10_000; i++) tf.tidy(() => void tf.scalar(i));
      return (await tf.scalar(7).data())[0];
    });
    expect(value).toBe(7);
  });
});

it('without AsyncLocalStorage, as in a browser, frees what is made before the first await', async () => {
  const { getBuiltinModule } = process;
  vi.resetModules();
  Object.assign(process, { getBuiltinModule: undefined });
  try {
    const { tidyAsync: inBrowser } = await import('./tidy-async');
    await tf.setBackend('cpu');
    const before = count();
    const later = await inBrowser(async () => {
      const x = tf.add(tf.ones([2]), 1);
      await x.data();
      return tf.scalar(1);
    });
    expect(count()).toBe(before + 1);
    later.dispose();
  } finally {
    Object.assign(process, { getBuiltinModule });
  }
});
