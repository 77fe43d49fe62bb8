/**
 * Trains a convolutional network of tfjs-layers on random images on every backend that is installed, as it is
 * (`model.trainOnBatch`), and on XLA also as a jitted step: `node bench/keras.mjs [--batch 16] [--seconds 5]`.
 * Prints milliseconds of a step (medians) and how many times as fast that is as the slowest; processor time beside it, which
 * says something on a busy machine too.
 */
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { jit } from '@flow-grpo/tfjs-jit';
import '@tensorflow/tfjs-backend-cpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';

const { values } = parseArgs({
  options: { batch: { type: 'string', default: '16' }, seconds: { type: 'string', default: '5' } },
});
const batch = Number(values.batch);
const seconds = Number(values.seconds);
const RATE = 0.01;
configure({ compilationCache: false });
setWasmPaths(`${dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm'))}/`);

/** 28 × 28 images to ten classes: 0.4 million weights. */
function network() {
  const model = layers.sequential();
  const conv = { kernelSize: 3, activation: 'relu', padding: 'same' };
  model.add(layers.layers.conv2d({ inputShape: [28, 28, 1], filters: 32, ...conv }));
  model.add(layers.layers.maxPooling2d({ poolSize: 2 }));
  model.add(layers.layers.conv2d({ filters: 64, ...conv }));
  model.add(layers.layers.maxPooling2d({ poolSize: 2 }));
  model.add(layers.layers.flatten());
  model.add(layers.layers.dense({ units: 128, activation: 'relu' }));
  model.add(layers.layers.dense({ units: 10, activation: 'softmax' }));
  return model;
}

const data = () => {
  const x = tf.randomNormal([batch, 28, 28, 1], 0, 1, 'float32', 1);
  const labels = Array.from({ length: batch }, (_, i) => i % 10);
  return { x, y: tf.tidy(() => tf.cast(tf.oneHot(labels, 10), 'float32')) };
};

/** The model as it is. */
function eagerStep() {
  const model = network();
  model.compile({ optimizer: tf.train.sgd(RATE), loss: 'categoricalCrossentropy' });
  const { x, y } = data();
  return () => model.trainOnBatch(x, y);
}

/** Loss, gradients and new weights of the same model as one program. */
function jittedStep() {
  const model = network();
  const variables = model.trainableWeights.map((weight) => weight.read());
  const step = jit((x, y) => {
    const { value, grads } = tf.variableGrads(() => {
      const predicted = model.apply(x, { training: true });
      return tf.mean(layers.metrics.categoricalCrossentropy(y, predicted));
    }, variables);
    return { loss: value, next: variables.map((weight) => tf.sub(weight, tf.mul(grads[weight.name], RATE))) };
  });
  const { x, y } = data();
  return async () => {
    const { loss, next } = step(x, y);
    next.forEach((value, i) => {
      variables[i].assign(value);
    });
    const [value] = await loss.data();
    tf.dispose([loss, next]);
    return value;
  };
}

async function timed(step) {
  const losses = [await step(), await step()];
  const times = [];
  const before = process.cpuUsage();
  for (const end = performance.now() + 1000 * seconds; performance.now() < end || times.length < 3; ) {
    const start = performance.now();
    losses.push(await step());
    times.push(performance.now() - start);
  }
  const { user, system } = process.cpuUsage(before);
  if (!(losses.at(-1) < losses[0])) throw new Error(`the loss went from ${losses[0]} to ${losses.at(-1)}`);
  return { ms: times.sort((a, b) => a - b)[times.length >> 1], cpuMs: (user + system) / 1000 / times.length };
}

const cases = [
  ['cpu, as it is', 'cpu', eagerStep],
  ['wasm, as it is', 'wasm', eagerStep],
  ['tensorflow (tfjs-node), as it is', 'tensorflow', eagerStep],
  ['xla, as it is', 'xla', eagerStep],
  ['xla, jitted step', 'xla', jittedStep],
];
await import('@tensorflow/tfjs-node').catch(() => {});
const rows = [];
for (const [name, backend, make] of cases) {
  console.error(`${name} …`); // plain JavaScript takes minutes
  try {
    if (!tf.findBackendFactory(backend) || !(await tf.setBackend(backend))) throw new Error('not installed');
    rows.push({ name, ...(await timed(make())) });
  } catch (error) {
    rows.push({ name, error: error.message.split('\n')[0] });
  }
}
const slowest = Math.max(...rows.flatMap(({ ms }) => ms ?? []));
const most = Math.max(...rows.flatMap(({ cpuMs }) => cpuMs ?? []));
console.log(`${cpus().length} × ${cpus()[0].model}, Node ${process.version}, batches of ${batch}`);
console.log('| | ms per step | times as fast | processor ms | times less |\n| --- | --- | --- | --- | --- |');
for (const { name, ms, cpuMs, error } of rows) {
  if (error) console.log(`| ${name} | ${error} | | | |`);
  else
    console.log(
      `| ${name} | ${ms.toFixed(1)} | ${(slowest / ms).toFixed(1)} | ${cpuMs.toFixed(1)} | ${(most / cpuMs).toFixed(1)} |`,
    );
}
