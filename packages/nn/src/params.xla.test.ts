import { expectClose } from '@flow-grpo/test-support';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { evenSpec, jit, mesh, random, shard, shardingOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { linear, type Params } from './index';

beforeAll(async () => {
  configure({ devices: 2 });
  await tf.setBackend('xla');
});

it('layers gather weights that are stored over devices, and give their gradients back in parts', () => {
  const m = mesh({ data: 2 });
  const draw = (seed: number, shape: number[]) => random.normal(random.key(seed), shape);
  const params: Params = {
    'up.weight': draw(1, [6, 4]),
    'up.bias': draw(2, [6]),
    'up.lora_A.weight': draw(3, [2, 4]),
    'up.lora_B.weight': draw(4, [6, 2]),
    'up.lora_scale': tf.scalar(0.5),
  };
  const x = draw(5, [8, 4]);
  const grads = jit((weights: Params, rows: tf.Tensor) =>
    tf.grads((...given: tf.Tensor[]) => {
      const named = Object.fromEntries(Object.keys(weights).map((name, i) => [name, given[i]!]));
      return tf.sum(tf.square(linear(named, 'up', rows)));
    })(Object.values(weights)),
  );
  const split = Object.fromEntries(
    Object.entries(params).map(([name, w]) => [name, shard(w, m, evenSpec(w.shape, m))]),
  );
  const rows = shard(x, m, ['data']);
  // All but the scalar: gathered, and their gradients scattered.
  expect(grads.lower(split, rows).text.match(/sdy\.sharding_constraint/g)).toHaveLength(2 * 4);
  const expected = grads(params, x);
  grads(split, rows).forEach((grad, i) => {
    expectClose(grad.dataSync(), expected[i]!.dataSync(), 1e-4);
    if (grad.rank > 0) expect(shardingOf(grad)!.spec).toContain('data');
  });
});
