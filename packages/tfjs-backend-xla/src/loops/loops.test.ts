import '../index';
import { expectClose } from '@flow-grpo/test-support';
import { cast, checkpoint, jit, random, scan, whileLoop } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(async () => {
  await tf.setBackend('xla');
});

const values = (x: tf.Tensor) => [...x.dataSync()];
const draw = (seed: number, shape: number[]) => random.normal(random.key(seed), shape);

/** Results on XLA, compiled, beside those of the plain loop on tfjs' cpu backend. */
async function onBoth(
  f: (...xs: tf.Tensor[]) => tf.Tensor[],
  shapes: number[][],
): Promise<[number[][], number[][]]> {
  const run = (g: typeof f) => g(...shapes.map((shape, i) => draw(i, shape))).map(values);
  const compiled = run(jit(f));
  await tf.setBackend('cpu');
  const expected = run((...xs) => tf.tidy(() => f(...xs)));
  await tf.setBackend('xla');
  return [compiled, expected];
}

function expectAllClose([actual, expected]: [number[][], number[][]], tolerance = 1e-4) {
  expect(actual).toHaveLength(expected.length);
  expected.forEach((each, i) => {
    expectClose(actual[i]!, each, tolerance, `result ${i}`);
  });
}

describe('scan', () => {
  it('keeps the results of some steps, which are known when it runs, in room for so many', () => {
    const xs = tf.range(0, 20);
    const wide = (x: tf.Tensor) => tf.mul(tf.ones([1000]), x);
    const kept = (count: number) =>
      jit((values: tf.Tensor, first: tf.Tensor) =>
        scan(
          (c: tf.Tensor, x: tf.Tensor): [tf.Tensor, tf.Tensor] => [tf.add(c, x), wide(tf.add(c, x))],
          tf.scalar(0),
          values,
          { keep: { first, count } },
        ),
      );
    const at = (i: number) => (i * (i + 1)) / 2;
    const three = kept(3);
    for (const first of [0, 4, 17]) {
      const [last, ys] = three(xs, tf.scalar(first, 'int32'));
      expect(last.dataSync()[0]).toBe(at(19));
      const firsts = [...ys.dataSync()].filter((_, i) => i % 1000 === 0);
      expect(firsts).toEqual([0, 1, 2].map((i) => at(first + i)));
    }
    const room = (count: number) => {
      const { outputBytes, temporaryBytes } = kept(count).lower(xs, tf.scalar(0, 'int32')).cost();
      return outputBytes! + temporaryBytes!;
    };
    expect(room(2)).toBeLessThan(room(20) / 3);
  });

  const layer = (h: tf.Tensor, [w, b]: [tf.Tensor, tf.Tensor]): [tf.Tensor, { norm: tf.Tensor }] => {
    const next = tf.tanh(tf.add(tf.matMul(h, w), b));
    return [next, { norm: tf.sum(tf.square(next)) }];
  };

  it('is one loop with the values of the unrolled one', async () => {
    const f = (h: tf.Tensor, w: tf.Tensor, b: tf.Tensor) => {
      const [last, { norm }] = scan(layer, h, [w, b] as [tf.Tensor, tf.Tensor]);
      return [last, norm];
    };
    const shapes = [
      [3, 4],
      [6, 4, 4],
      [6, 4],
    ];
    expectAllClose(await onBoth(f as never, shapes));
    const { text } = jit(f).lower(
      ...(shapes.map((shape) => tf.zeros(shape)) as [tf.Tensor, tf.Tensor, tf.Tensor]),
    );
    expect(text.match(/stablehlo\.while/g)).toHaveLength(1);
    expect(text.match(/stablehlo\.tanh/g)).toHaveLength(1);
  });

  it('has the gradients of the unrolled loop: carry, xs and what the step reads from outside', async () => {
    const loss = (h: tf.Tensor, w: tf.Tensor, b: tf.Tensor, scale: tf.Tensor) => {
      const half = tf.scalar(0.5);
      const twice = tf.mul(scale, 2);
      const [[last], ys] = scan(
        ([c, n]: [tf.Tensor, tf.Tensor], x: [tf.Tensor, tf.Tensor]): [[tf.Tensor, tf.Tensor], tf.Tensor] => {
          const [next, { norm }] = layer(tf.mul(c, twice), x);
          return [[tf.mul(next, half), tf.add(n, tf.scalar(1, 'int32'))], norm];
        },
        [h, tf.scalar(0, 'int32')] as [tf.Tensor, tf.Tensor],
        [w, b] as [tf.Tensor, tf.Tensor],
      );
      return tf.add(tf.sum(tf.square(last)), tf.sum(tf.mul(ys, ys))) as tf.Scalar;
    };
    const f = (...xs: tf.Tensor[]) => tf.grads(loss as never)(xs);
    expectAllClose(
      await onBoth(f, [
        [3, 4],
        [5, 4, 4],
        [5, 4],
        [1, 4],
      ]),
      2e-3,
    );
  });

  it.each([
    [
      'scan',
      (h: tf.Tensor, step: (x: tf.Tensor) => tf.Tensor) =>
        scan((c: tf.Tensor) => [step(c), null], h, null, { length: 3 })[0],
    ],
    ['checkpoint', (h: tf.Tensor, step: (x: tf.Tensor) => tf.Tensor) => checkpoint(step)(h)],
  ])('of %s: the backward pass reads integers that a tidy has let go of', async (_, loop) => {
    const f = (h: tf.Tensor) => [
      tf.grad((x: tf.Tensor) =>
        tf.sum(
          tf.tidy(() => {
            const rows = tf.range(1, 3, 1, 'int32'); // read by the step, gone before gradients are taken
            return loop(x, (c) => tf.tanh(tf.gather(tf.concat([c, c]), rows)));
          }),
        ),
      )(h),
    ];
    expectAllClose(await onBoth(f, [[2, 3]]), 1e-3);
  });

  it('nests', async () => {
    const f = (h: tf.Tensor, xs: tf.Tensor) =>
      tf.grads((h0: tf.Tensor, all: tf.Tensor) => {
        const [last] = scan(
          (outer: tf.Tensor, row: tf.Tensor): [tf.Tensor, null] => [
            scan(
              (c: tf.Tensor, x: tf.Tensor): [tf.Tensor, null] => [tf.sin(tf.add(tf.mul(c, x), h0)), null],
              outer,
              row,
            )[0],
            null,
          ],
          h0,
          all,
        );
        return tf.sum(last);
      })([h, xs]);
    expectAllClose(await onBoth(f as never, [[2], [3, 4, 2]]), 1e-3);
  });

  it.each([
    ['its values', () => 1, (f: (x: tf.Tensor) => tf.Tensor) => f],
    // Once forward, and once more in the backward pass of every scan around it.
    ['its gradient', (depth: number) => depth + 1, (f: (x: tf.Tensor) => tf.Tensor) => tf.grad(f)],
  ])('traces the body of ten nested ones once for %s', (_, most, wrap) => {
    const depth = 10;
    let calls = 0;
    const nested = (level: number, x: tf.Tensor): tf.Tensor => {
      if (level === 0) {
        calls++;
        return tf.sin(x);
      }
      return scan((c: tf.Tensor): [tf.Tensor, null] => [nested(level - 1, c), null], x, null, {
        length: 2,
      })[0];
    };
    const { text } = jit(wrap((x) => tf.sum(nested(depth, x)))).lower(tf.ones([2]));
    expect(calls).toBe(most(depth));
    expect(text.length).toBeLessThan(300_000);
  });

  it('has gradients when it takes a single step', async () => {
    const f = (h: tf.Tensor, w: tf.Tensor, b: tf.Tensor) =>
      tf.grads((...xs: tf.Tensor[]) => {
        const [last, { norm }] = scan(layer, xs[0]!, [xs[1]!, xs[2]!] as [tf.Tensor, tf.Tensor]);
        return tf.add(tf.sum(last), tf.sum(norm));
      })([h, w, b]);
    expectAllClose(
      await onBoth(f as never, [
        [3, 4],
        [1, 4, 4],
        [1, 4],
      ]),
    );
  });

  it('counts with a length, draws with keys', () => {
    const f = jit((key: tf.Tensor) =>
      scan(
        (k: tf.Tensor): [tf.Tensor, tf.Tensor] => {
          const [next, now] = random.split(k);
          return [next!, random.normal(now!, [2])];
        },
        key,
        null,
        { length: 3 },
      ),
    );
    const [, ys] = f(random.key(3));
    expect(ys.shape).toEqual([3, 2]);
    expect(new Set(values(ys)).size).toBe(6);
  });

  it('names a carry that changes', () => {
    const run = (f: (c: tf.Tensor) => tf.Tensor) => () =>
      jit((x: tf.Tensor) => scan((c: tf.Tensor): [tf.Tensor, null] => [f(c), null], x, null, { length: 2 }))(
        tf.zeros([2]),
      );
    expect(run((c) => tf.reshape(c, [2, 1]))).toThrow(
      /tensor 0 changed from float32 \[2\] to float32 \[2,1\]/,
    );
    expect(run((c) => cast(c, 'bfloat16'))).toThrow(/stored as f32 before the step and bf16/);
    expect(() => scan(() => [tf.scalar(1), null], tf.scalar(1), null)).toThrow(/pass \{ length \}/);
  });
});

describe('whileLoop', () => {
  it('stops when its condition says', async () => {
    const f = (x: tf.Tensor) => {
      const state = whileLoop(
        (s: { x: tf.Tensor; n: tf.Tensor }): tf.Tensor => tf.less(tf.sum(tf.square(s.x)), tf.scalar(100)),
        (s) => ({ x: tf.mul(s.x, 1.5), n: tf.add(s.n, tf.scalar(1, 'int32')) }),
        { x, n: tf.scalar(0, 'int32') as tf.Tensor },
      );
      return [state.x, state.n];
    };
    expectAllClose(await onBoth(f as never, [[4]]));
  });

  it('says that it has no gradient', () => {
    const f = jit((x: tf.Tensor) =>
      tf.grad((y: tf.Tensor) =>
        tf.sum(
          whileLoop(
            (s: tf.Tensor) => tf.less(tf.sum(s), 9),
            (s) => tf.mul(s, 2),
            y,
          ),
        ),
      )(x),
    );
    expect(() => f(tf.scalar(1))).toThrow(/use scan/);
  });
});

describe('checkpoint', () => {
  const block = (x: tf.Tensor, w: tf.Tensor) => tf.tanh(tf.matMul(tf.sin(x), w));

  it('changes neither values nor gradients', async () => {
    const loss = (wrap: typeof checkpoint) => (x: tf.Tensor, w: tf.Tensor, v: tf.Tensor) => {
      const step = wrap((h: tf.Tensor, u: tf.Tensor) => tf.mul(block(h, u), v));
      return tf.sum(step(step(x, w), w));
    };
    const grads = (wrap: typeof checkpoint) => (x: tf.Tensor, w: tf.Tensor, v: tf.Tensor) =>
      tf.grads(loss(wrap))([x, w, v]);
    const xs = [draw(1, [3, 4]), draw(2, [4, 4]), draw(3, [4])] as [tf.Tensor, tf.Tensor, tf.Tensor];
    const plain = jit(grads((fn) => fn))(...xs).map(values);
    expectAllClose([jit(grads(checkpoint))(...xs).map(values), plain], 1e-5);
  });

  it('computes again behind a barrier', () => {
    const f = jit((x: tf.Tensor, w: tf.Tensor) =>
      tf.grads((a: tf.Tensor, b: tf.Tensor) => tf.sum(checkpoint(block)(a, b)))([x, w]),
    );
    const { text } = f.lower(tf.zeros([3, 4]), tf.zeros([4, 4]));
    expect(text).toContain('optimization_barrier');
  });
});
