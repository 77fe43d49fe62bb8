/**
 * Memory over long runs: `node --expose-gc bench/soak.mjs [--dispatches 1000000] [--steps 1000] [--json FILE]`.
 *
 * Three loops, each measured after a first part that lets caches and allocators fill: dispatches of a small jitted
 * function and of single kernels; steps of a jitted training loop with donation. Fails when host memory (resident, after a
 * collection) or device memory grows by more than 1 %, or when a tensor is left.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { deviceInfo, jit, random, scan } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';

const { values: options } = parseArgs({
  options: {
    dispatches: { type: 'string', default: '1000000' },
    steps: { type: 'string', default: '1000' },
    json: { type: 'string' },
  },
});
if (!globalThis.gc) throw new Error('Run it with node --expose-gc: memory is compared after collections.');

configure({ compilationCache: false });
await tf.setBackend('xla');

const MIB = 2 ** 20;
/** Allocators keep what they once had: fewer runs do not fill them. */
const WARM_UP = 20_000;
/** Lets finalizers and the event loop run between collections. */
async function settled() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { rss, heapTotal, heapUsed } = process.memoryUsage();
  const { numTensors, numBytes } = tf.memory();
  // V8 sizes the room for young objects as it likes: of its heap only what is in use counts.
  const host = rss - heapTotal + heapUsed;
  return { host, heapUsed, numTensors, numBytes, deviceBytes: deviceInfo()[0].bytesInUse };
}

/** Runs `step` `count` times after a tenth as many for warming up, and compares memory. */
async function soak(name, count, step, warmUp = WARM_UP) {
  const run = async (times) => {
    for (let i = 0; i < times; i++) {
      step(i);
      if (i % 1000 === 0) await new Promise(setImmediate);
    }
  };
  await run(Math.max(Math.ceil(count / 10), warmUp));
  const before = await settled();
  const start = performance.now();
  await run(count);
  const seconds = (performance.now() - start) / 1000;
  const after = await settled();
  const growth = (after.host - before.host) / before.host;
  const device = after.deviceBytes === undefined ? 0 : after.deviceBytes / before.deviceBytes - 1;
  const flat =
    growth <= 0.01 &&
    device <= 0.01 &&
    after.numTensors === before.numTensors &&
    after.numBytes === before.numBytes;
  console.log(
    `${name}: ${count} in ${seconds.toFixed(1)} s; host ${(before.host / MIB).toFixed(1)} → ${(after.host / MIB).toFixed(1)} MiB (${(100 * growth).toFixed(2)} %), ` +
      `heap ${(before.heapUsed / MIB).toFixed(1)} → ${(after.heapUsed / MIB).toFixed(1)} MiB, tensors ${before.numTensors} → ${after.numTensors}` +
      `${after.deviceBytes === undefined ? '' : `, device ${(before.deviceBytes / MIB).toFixed(1)} → ${(after.deviceBytes / MIB).toFixed(1)} MiB`}${flat ? '' : '  NOT FLAT'}`,
  );
  return { name, count, seconds, before, after, growth, flat };
}

const one = tf.ones([2, 2]);
const small = jit((x) => tf.add(x, 1));
const results = [
  await soak('dispatches of a jitted function', Number(options.dispatches), () => small(one).dispose()),
  await soak('dispatches of kernels', Math.ceil(Number(options.dispatches) / 10), () => {
    tf.tidy(() => void tf.relu(tf.add(one, one)));
  }),
];

const [LAYERS, WIDTH, ROWS] = [4, 64, 32];
const draw = (seed, shape) => tf.mul(random.normal(random.key(seed), shape), 0.1);
const train = jit(
  ({ weights, mean, variance }, x) => {
    const loss = (w) => {
      const [h] = scan((c, layer) => [tf.tanh(tf.matMul(c, layer)), null], x, w);
      return tf.mean(tf.square(tf.sub(h, x)));
    };
    const { value, grads } = tf.valueAndGrads(loss)([weights]);
    const m = tf.add(tf.mul(mean, 0.9), tf.mul(grads[0], 0.1));
    const v = tf.add(tf.mul(variance, 0.999), tf.mul(tf.square(grads[0]), 0.001));
    const next = tf.sub(weights, tf.mul(tf.div(m, tf.add(tf.sqrt(v), 1e-8)), 1e-3));
    return [{ weights: next, mean: m, variance: v }, value];
  },
  { donate: [0], name: 'train' },
);
const shape = [LAYERS, WIDTH, WIDTH];
let state = { weights: draw(1, shape), mean: tf.zeros(shape), variance: tf.zeros(shape) };
let loss = Number.NaN;
results.push(
  await soak('steps of a training loop', Number(options.steps), (i) => {
    const batch = tf.tensor2d(
      Float32Array.from({ length: ROWS * WIDTH }, (_, k) => Math.sin(i + k)),
      [ROWS, WIDTH],
    );
    const [next, value] = train(state, batch);
    loss = value.dataSync()[0];
    tf.dispose([state, batch, value]);
    state = next;
  }),
);
console.log(`loss after the last step: ${loss.toFixed(4)}`);
if (options.json) writeFileSync(options.json, `${JSON.stringify(results, null, 1)}\n`);
process.exitCode = results.every(({ flat }) => flat) ? 0 : 1;
