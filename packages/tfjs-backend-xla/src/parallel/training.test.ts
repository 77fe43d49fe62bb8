import { expectClose } from '@flow-grpo/test-support';
import {
  jit,
  type Mesh,
  mesh,
  random,
  replicate,
  scaledDotProductAttention,
  shard,
  shardingOf,
  shardMap,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { configure } from '../index';

beforeAll(async () => {
  configure({ devices: 4 });
  await tf.setBackend('xla');
});

interface State {
  w1: tf.Tensor;
  w2: tf.Tensor;
  velocity: { w1: tf.Tensor; w2: tf.Tensor };
}

const draw = (seed: number, shape: number[]) => random.normal(random.key(seed), shape);
const batch = () => [draw(1, [16, 6]), draw(2, [16, 3])] as [tf.Tensor, tf.Tensor];
const initial = (): State => ({
  w1: draw(3, [6, 8]),
  w2: draw(4, [8, 3]),
  velocity: { w1: tf.zeros([6, 8]), w2: tf.zeros([8, 3]) },
});

/** SGD with momentum; `keep` lays out what a step returns. */
function trainer(keep: (x: tf.Tensor) => tf.Tensor) {
  return jit(
    ({ w1, w2, velocity }: State, x: tf.Tensor, y: tf.Tensor): [State, tf.Tensor] => {
      const { value, grads } = tf.valueAndGrads(
        (a: tf.Tensor, b: tf.Tensor) =>
          tf.mean(tf.squaredDifference(tf.matMul(tf.tanh(tf.matMul(x, a)), b), y)) as tf.Scalar,
      )([w1, w2]);
      const v1 = tf.add(tf.mul(velocity.w1, 0.9), grads[0]!);
      const v2 = tf.add(tf.mul(velocity.w2, 0.9), grads[1]!);
      const next = {
        w1: keep(tf.sub(w1, tf.mul(v1, 0.1))),
        w2: keep(tf.sub(w2, tf.mul(v2, 0.1))),
        velocity: { w1: keep(v1), w2: keep(v2) },
      };
      return [next, value];
    },
    { donate: [0] },
  );
}

function train(step: ReturnType<typeof trainer>, state: State, x: tf.Tensor, y: tf.Tensor) {
  let now = state;
  const losses: number[] = [];
  for (let i = 0; i < 5; i++) {
    const [next, loss] = step(now, x, y);
    losses.push(loss.dataSync()[0]!);
    now = next;
  }
  return { losses, state: now };
}

const place = (state: State, put: (x: tf.Tensor) => tf.Tensor): State => ({
  w1: put(state.w1),
  w2: put(state.w2),
  velocity: { w1: put(state.velocity.w1), w2: put(state.velocity.w2) },
});

describe.each([2, 4])('training on %i devices', (n) => {
  const expected = () =>
    train(
      trainer((x) => x),
      initial(),
      ...batch(),
    );
  const sharded = (m: Mesh) => batch().map((x) => shard(x, m, ['data'])) as [tf.Tensor, tf.Tensor];

  it('data-parallel gives the losses and weights of one device', () => {
    const m = mesh({ data: n });
    const one = expected();
    const step = trainer((x) => replicate(x, m));
    const state = place(initial(), (x) => replicate(x, m));
    const many = train(step, state, ...sharded(m));
    expectClose(many.losses, one.losses, 1e-5);
    expectClose(many.state.w1.dataSync(), one.state.w1.dataSync(), 1e-5);
    expect(shardingOf(many.state.w1)!.spec).toEqual([null, null]);
  });

  it('with parameters and optimizer state sharded too', () => {
    const m = mesh({ data: n });
    const one = expected();
    // The first axis that divides evenly carries the shards.
    const split = (x: tf.Tensor) => shard(x, m, x.shape[0]! % n === 0 ? ['data'] : [null, 'data']);
    const many = train(trainer(split), place(initial(), split), ...sharded(m));
    expectClose(many.losses, one.losses, 1e-5);
    expectClose(many.state.velocity.w2.dataSync(), one.state.velocity.w2.dataSync(), 1e-5);
    expect(shardingOf(many.state.w2)!.spec).toEqual(['data', null]);
  });
});

describe('attention on shards', () => {
  it('agrees with one device, forward and backward', () => {
    const m = mesh({ data: 2, model: 2 });
    const spec = ['data', null, 'model'];
    const mapped = shardMap(
      (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => [scaledDotProductAttention(q, k, v)],
      {
        mesh: m,
        inSpecs: [spec, spec, spec],
        outSpecs: [spec],
      },
    );
    const inputs = [draw(1, [2, 5, 4, 8]), draw(2, [2, 6, 2, 8]), draw(3, [2, 6, 2, 8])];
    const grads = (f: (...xs: tf.Tensor[]) => tf.Tensor) =>
      jit((...xs: tf.Tensor[]) => tf.grads((...ys: tf.Tensor[]) => tf.sum(tf.square(f(...ys))))(xs))(
        ...inputs,
      );
    const expected = grads((q, k, v) => scaledDotProductAttention(q!, k!, v!));
    grads((q, k, v) => mapped(q!, k!, v!)[0]!).forEach((grad, i) => {
      expectClose(grad.dataSync(), expected[i]!.dataSync(), 1e-4);
    });
  });
});
