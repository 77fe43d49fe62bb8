import './index';
import { PjrtClient, PjrtExecutable } from '@flow-grpo/pjrt';
import { cast, fromBytes, jit, scan, shard, storageOf, toBytes, whileLoop } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';

beforeAll(async () => {
  expect(await tf.setBackend('xla')).toBe(true);
});

/** What hands work to XLA. */
let native: MockInstance[] = [];
beforeEach(() => {
  native = [
    vi.spyOn(PjrtClient.prototype, 'compileSync'),
    vi.spyOn(PjrtClient.prototype, 'compile'),
    vi.spyOn(PjrtClient.prototype, 'bufferFromHost'),
    vi.spyOn(PjrtExecutable.prototype, 'execute'),
  ];
});
afterEach(() => vi.restoreAllMocks());

/** The error, which came before anything native was called. */
function refused(f: () => unknown): string {
  let message = '';
  try {
    tf.tidy(() => void f());
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
    message = (error as Error).message;
  }
  expect(message).not.toBe('');
  for (const spy of native) expect(spy).not.toHaveBeenCalled();
  return message;
}

const gone = () => {
  const x = tf.tensor1d([1, 2]);
  x.dispose();
  return x;
};

describe('misuse never reaches XLA', () => {
  it('of shapes', () => {
    const [a, b] = [tf.zeros([2, 3]), tf.zeros([2, 3])];
    expect(refused(() => tf.matMul(a, b))).toMatch(/^BatchMatMul: .*f32\[2,3\]/);
    expect(refused(() => tf.add(tf.zeros([2]), tf.zeros([3])))).toMatch(/[Bb]roadcast/);
    expect(refused(() => tf.reshape(a, [4]))).toMatch(/6.*4|size/i);
    expect(refused(() => tf.concat([tf.zeros([2, 2]), tf.zeros([3, 3])], 0))).toMatch(/shape|dimension/i);
    expect(refused(() => jit((x: tf.Tensor) => tf.matMul(x, x))(a))).toMatch(/^BatchMatMul: .*f32\[2,3\]/);
  });

  it('of empty axes and of indices that are known', () => {
    const empty = tf.zeros([2, 0]);
    for (const [name, f] of Object.entries({ argMax: tf.argMax, argMin: tf.argMin })) {
      const message = new RegExp(`^${name}: axis 1 of \\[2,0\\] is empty`);
      expect(refused(() => f(empty, 1))).toMatch(message);
      expect(refused(() => jit((x: tf.Tensor) => f(x, 1))(empty))).toMatch(message);
    }
    const x = tf.zeros([3, 2]);
    for (const index of [3, -1, 100]) {
      const at = tf.tensor1d([0, index], 'int32');
      const message = `GatherV2: the index value ${index} is not in [0, 2], the rows along axis 0 of [3,2]`;
      expect(refused(() => tf.gather(x, at))).toBe(message);
      expect(refused(() => jit((y: tf.Tensor) => tf.gather(y, at))(x))).toBe(message);
    }
    const points = tf.tensor2d([0, 0, 1, 2], [2, 2], 'int32');
    expect(refused(() => tf.gatherND(x, points))).toMatch(
      /^gatherND: index 2 is outside axis 1 of \[3,2\]: it must be 0 to 1/,
    );
  });

  it('of dtypes and storage', () => {
    const words = tf.tensor1d(['a', 'b']);
    expect(refused(() => tf.exp(words as unknown as tf.Tensor))).toMatch(/string/);
    expect(refused(() => jit((x: tf.Tensor) => x)(words))).toMatch(/string tensors/);
    expect(refused(() => cast(tf.tensor1d([1], 'int32'), 'bfloat16'))).toMatch(/float32/);
    expect(refused(() => cast(tf.tensor1d([1]), 'float8' as 'float16'))).toMatch(/'bfloat16'/);
    expect(refused(() => storageOf(tf.tensor1d([1], 'bool')))).toMatch(/float32/);
    expect(refused(() => fromBytes(new Uint8Array(3), [2], 'bfloat16'))).toMatch(/4 bytes, there are 3/);
    expect(refused(() => tf.tensor([1, 2, 3], [2, 2]))).toMatch(/shape/i);
  });

  it('of disposed tensors', () => {
    expect(refused(() => tf.add(gone(), 1))).toMatch(/disposed/);
    expect(refused(() => gone().dataSync())).toMatch(/disposed/);
    expect(refused(() => jit((x: tf.Tensor) => tf.add(x, 1))(gone()))).toMatch(/disposed/);
    expect(refused(() => jit(() => tf.add(gone(), 1))())).toMatch(/disposed/);
    const outside = gone();
    expect(refused(() => jit((x: tf.Tensor) => tf.add(x, outside))(tf.scalar(1)))).toMatch(/disposed/);
  });

  it('of tensors without values', async () => {
    const inside = (f: (x: tf.Tensor) => unknown) => () =>
      jit(f as (x: tf.Tensor) => tf.Tensor)(tf.scalar(1));
    expect(refused(inside((x) => tf.scalar(x.dataSync()[0]!)))).toMatch(/return the tensor and read it/);
    expect(refused(inside((x) => tf.scalar(x.arraySync() as number)))).toMatch(
      /return the tensor and read it/,
    );
    expect(refused(inside((x) => tf.tidy(() => tf.unique(tf.reshape(x, [1])).values)))).toMatch(
      /shape of its result depends on data/,
    );
    const reads: Promise<unknown>[] = [];
    refused(
      inside((x) => {
        reads.push(
          x.data().catch((error: Error) => error.message),
          toBytes(x).catch((error: Error) => error.message),
        );
        throw new Error('enough');
      }),
    );
    for (const said of await Promise.all(reads)) expect(said).toMatch(/return the tensor and read it/);
  });

  it('of functions with side effects', () => {
    const inside = (f: (x: tf.Tensor) => unknown) => () =>
      jit(f as (x: tf.Tensor) => tf.Tensor)(tf.scalar(1));
    const variable = tf.variable(tf.scalar(1));
    expect(refused(inside((x) => variable.assign(x as tf.Scalar)))).toMatch(/assign it outside/);
    expect(refused(inside((x) => tf.add(x, tf.randomNormal([1]))))).toMatch(/random\.normal/);
    expect(refused(inside((x) => tf.add(x, Math.random())))).toMatch(/Math\.random/);
    expect(refused(inside(async (x) => x))).toMatch(/async/);
    expect(refused(inside(() => ({ when: new Date() })))).toMatch(/result\.when is an instance of Date/);
    let kept = tf.scalar(0) as tf.Tensor;
    const leak = jit((x: tf.Tensor) => {
      kept = tf.keep(tf.add(x, 1));
      return x;
    });
    leak.lower(tf.scalar(1));
    expect(refused(() => tf.add(kept, 1))).toMatch(/made inside a jitted function/);
    expect(refused(() => jit((x: tf.Tensor) => tf.add(x, kept))(tf.scalar(1)))).toMatch(/return it instead/);
    // Traced again, for another shape: what the first trace left outside is not taken for a value of this one.
    const last: tf.Tensor[] = [];
    const accumulate = jit((x: tf.Tensor) => {
      last.push(tf.keep(tf.mul(x, 2)));
      return last.reduce((sum, y) => tf.add(tf.sum(sum), tf.sum(y)));
    });
    accumulate.lower(tf.zeros([2]));
    expect(refused(() => accumulate(tf.zeros([3])))).toMatch(/return it instead/);
    variable.dispose();
  });

  it('of loops, donations and devices', () => {
    const x = tf.zeros([2]);
    const scanned = (f: (c: tf.Tensor) => tf.Tensor) => () =>
      jit((y: tf.Tensor) => scan((c: tf.Tensor) => [f(c), null], y, null, { length: 2 })[0])(x);
    expect(refused(scanned((c) => tf.concat([c, c])))).toMatch(/keeps shapes and dtypes/);
    expect(
      refused(() =>
        jit((y: tf.Tensor) =>
          whileLoop(
            (s) => tf.sum(s),
            (s) => s,
            y,
          ),
        )(x),
      ),
    ).toMatch(/bool scalar/);
    expect(refused(() => jit((y: tf.Tensor) => y, { donate: [-1] }))).toMatch(/cannot donate argument -1/);
    expect(refused(() => shard(x, { axes: {} } as never, ['data']))).toMatch(/no axis "data"/);
  });

  it('leaves the backend as it was', () => {
    vi.restoreAllMocks();
    const f = jit((y: tf.Tensor) => tf.add(y, 1));
    expect([...f(tf.tensor1d([1, 2])).dataSync()]).toEqual([2, 3]);
    expect(tf.add(1, 1).dataSync()[0]).toBe(2);
  });
});
