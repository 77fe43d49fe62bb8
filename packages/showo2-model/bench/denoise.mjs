/**
 * One denoising step and one head update of a small Show-o2 on this machine's CPU: the fast path, the plain forward, and,
 * where `PYTHON` (python3 by default) has torch, the plain forward in PyTorch. Medians in milliseconds, one JSON line each.
 */
import '@flow-grpo/tfjs-backend-xla';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  encodePrompts,
  forwardSequence,
  generationLayout,
  imageBlockLength,
  initShowo2Params,
  parseShowo2Config,
  showo2Velocity,
  trainableNames,
  velocityFromFeatures,
} from '@flow-grpo/showo2-model';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';

const file = new URL('./size.json', import.meta.url);
const size = JSON.parse(readFileSync(file, 'utf8'));
const config = parseShowo2Config(size.config);
const { batch, textLength, guidanceScale } = size;

if (!(await tf.setBackend('xla'))) throw new Error("The 'xla' backend could not start; run `npm run setup`.");
const params = initShowo2Params(config, 1);
const prompts = Array.from({ length: batch }, (_, b) =>
  Array.from({ length: textLength }, (_, i) => 20 + b + i),
);
const shape = [
  batch,
  config.gridHeight * config.patchSize,
  config.gridWidth * config.patchSize,
  config.latentChannels,
];
const x = tf.randomNormal(shape, 0, 1, 'float32', 1);
const t = tf.fill([batch], 0.4);
const condition = encodePrompts(params, config, prompts, { head: true });
const untextured = encodePrompts(params, config, prompts);

const { conditional, unconditional } = generationLayout(prompts, {
  tokens: config.tokens,
  blockLength: imageBlockLength(config),
  maxTextLength: config.maxTextLength,
});
const tokens = tf.tensor2d([...conditional.tokens, ...unconditional.tokens], undefined, 'int32');
const positions = [...conditional.positions, ...unconditional.positions];

const fast = jit(
  (p, latents, times, c) => showo2Velocity(p, config, latents, times, c, { guidanceScale }).velocity,
);
const features = jit(
  (p, latents, times, c) => showo2Velocity(p, config, latents, times, c, { guidanceScale }).features,
);
const plain = jit((p, ids, latents, times) => {
  const twice = (y) => tf.concat([y, y], 0);
  const inputs = { tokens: ids, positions, latents: twice(latents), t: twice(times) };
  const [c, u] = tf.split(forwardSequence(p, config, inputs).velocity, 2);
  return tf.add(u, tf.mul(tf.sub(c, u), guidanceScale));
});
const head = trainableNames(params);
const update = jit((trained, kept, times, c) => {
  const names = Object.keys(trained);
  const loss = (...xs) => {
    const weights = { ...params, ...Object.fromEntries(names.map((name, i) => [name, xs[i]])) };
    return tf.mean(
      tf.square(velocityFromFeatures(weights, config, kept, times, c, shape, { guidanceScale })),
    );
  };
  return tf.grads(loss)(names.map((name) => trained[name]));
});
const trained = Object.fromEntries(head.map((name) => [name, params[name]]));
const kept = features(params, x, t, condition);

async function measure(name, run) {
  const first = performance.now();
  const touch = (result) => (Array.isArray(result) ? result[0] : result).data();
  const made = run();
  await touch(made);
  tf.dispose(made);
  const compileMs = performance.now() - first;
  const times = [];
  for (let i = 0; i < 7; i++) {
    const start = performance.now();
    const result = run();
    await touch(result);
    times.push(performance.now() - start);
    tf.dispose(result);
  }
  times.sort((a, b) => a - b);
  console.log(
    JSON.stringify({
      engine: 'xla',
      name,
      ms: Math.round(times[3] * 10) / 10,
      compileMs: Math.round(compileMs),
    }),
  );
}

await measure('denoising step, fast path', () => fast(params, x, t, condition));
await measure('denoising step, plain forward', () => plain(params, tokens, x, t));
await measure('head update from kept features', () => update(trained, kept, t, untextured));

const script = fileURLToPath(new URL('./torch_step.py', import.meta.url));
const python = spawnSync(process.env.PYTHON ?? 'python3', [script, fileURLToPath(file)], {
  encoding: 'utf8',
});
if (python.status === 0) process.stdout.write(python.stdout);
else console.log(JSON.stringify({ engine: 'torch', skipped: 'PYTHON has no torch' }));
