/**
 * Models of tfjs-layers: they train on this backend as they are, and in a jitted step. docs/keras-style-models.md shows the
 * same.
 */
import { expectClose } from '@flow-grpo/test-support';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { afterAll, expect, it } from 'vitest';
import './index';

const RATE = 0.05;
const normal = (shape: number[], seed: number) => tf.randomNormal(shape, 0, 1, 'float32', seed);
afterAll(() => tf.setBackend('cpu'));

function network() {
  const model = layers.sequential();
  const start = (seed: number) => ({ kernelInitializer: layers.initializers.glorotNormal({ seed }) });
  model.add(
    layers.layers.conv2d({
      inputShape: [8, 8, 1],
      filters: 4,
      kernelSize: 3,
      activation: 'relu',
      ...start(1),
    }),
  );
  model.add(layers.layers.maxPooling2d({ poolSize: 2 }));
  model.add(layers.layers.flatten());
  model.add(layers.layers.dense({ units: 3, activation: 'softmax', ...start(2) }));
  return model;
}

const data = () => {
  const labels = [0, 1, 2, 0, 1, 2, 0, 1];
  return { x: normal([8, 8, 8, 1], 3), y: tf.cast(tf.oneHot(labels, 3), 'float32') };
};

/** Losses of some steps, and the weights after them. */
async function asItIs(backend: string) {
  await tf.setBackend(backend);
  const model = network();
  model.compile({ optimizer: tf.train.sgd(RATE), loss: 'categoricalCrossentropy' });
  const { x, y } = data();
  const losses: number[] = [];
  for (let i = 0; i < 4; i++) losses.push((await model.trainOnBatch(x, y)) as number);
  return { losses, weights: model.getWeights().map((weight) => [...weight.dataSync()]) };
}

async function jitted() {
  await tf.setBackend('xla');
  const model = network();
  const variables = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
  const step = jit((x: tf.Tensor, y: tf.Tensor) => {
    const { value, grads } = tf.variableGrads(() => {
      const predicted = model.apply(x, { training: true }) as tf.Tensor;
      return tf.mean(layers.metrics.categoricalCrossentropy(y, predicted)) as tf.Scalar;
    }, variables);
    const next = variables.map((weight) => tf.sub(weight, tf.mul(grads[weight.name]!, RATE)));
    return { loss: value as tf.Tensor, next };
  });
  const { x, y } = data();
  const losses: number[] = [];
  for (let i = 0; i < 4; i++) {
    const { loss, next } = step(x, y);
    next.forEach((value, j) => {
      variables[j]!.assign(value);
    });
    losses.push((await loss.data())[0]!);
    tf.dispose([loss, next]);
  }
  return { losses, weights: model.getWeights().map((weight) => [...weight.dataSync()]) };
}

it('a model of tfjs-layers trains as it is on cpu, eager and in a jitted step', async () => {
  const expected = await asItIs('cpu');
  expect(expected.losses.at(-1)).toBeLessThan(expected.losses[0]!);
  for (const run of [await asItIs('xla'), await jitted()]) {
    expectClose(run.losses, expected.losses, 1e-4, 'losses');
    for (const [i, weight] of run.weights.entries())
      expectClose(weight, expected.weights[i]!, 1e-4, `weight ${i}`);
  }
});
