/**
 * Times the backend beside tfjs-backend-wasm and, where Python has torch, PyTorch: `node bench/main.mjs [--json FILE]
 * [--only TEXT] [--dispatches N]`. Prints a table; milliseconds are medians, float32, all cores.
 *
 * Beside them the processor time of a call, which says something on a busy machine too: run all on one core to compare it
 * (`OMP_NUM_THREADS=1 taskset -c 0 node bench/main.mjs`), since threads that wait by spinning count as busy.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { BLOCK, fill, workloads } from './workloads.mjs';

const { values: options } = parseArgs({
  options: { json: { type: 'string' }, only: { type: 'string' }, dispatches: { type: 'string' } },
});
const chosen = workloads.filter(({ name }) => !options.only || name.includes(options.only));
const SECONDS = 2;
configure({ compilationCache: false });

/** Median milliseconds of `f` over about `SECONDS`, after warming up, and processor time of a call. */
async function timed(f) {
  const first = performance.now();
  await f();
  // Slower than the time it is given: once is enough.
  const cold = performance.now() - first;
  if (cold > 5000 * SECONDS) return { ms: cold };
  await f();
  const times = [];
  const before = process.cpuUsage();
  for (const end = performance.now() + SECONDS * 1000; performance.now() < end || times.length < 3; ) {
    const start = performance.now();
    await f();
    times.push(performance.now() - start);
  }
  const { user, system } = process.cpuUsage(before);
  const cpuMs = (user + system) / 1000 / times.length;
  return { ms: times.sort((a, b) => a - b)[times.length >> 1], cpuMs };
}

const median = async (f) => (await timed(f)).ms;

async function timeTfjs(backend, { shapes, run }) {
  if (!(await tf.setBackend(backend))) return { error: `${backend} did not start` };
  const inputs = shapes.map((shape, i) => tf.tensor(fill(tf.util.sizeFromShape(shape), i), shape));
  const step = backend === 'xla' ? jit(run) : (xs) => tf.tidy(() => run(xs));
  try {
    return await timed(() => {
      const outputs = step(inputs);
      // The last output is read to its end by none: one element says that it is there.
      tf.tidy(() => tf.slice(tf.reshape(outputs.at(-1), [-1]), 0, 1).dataSync());
      tf.dispose(outputs);
    });
  } catch (error) {
    return { error: error.message.split('\n')[0] };
  } finally {
    tf.dispose(inputs);
  }
}

function timeTorch() {
  const script = fileURLToPath(new URL('./torch_bench.py', import.meta.url));
  const result = spawnSync('python3', [script, JSON.stringify({ block: BLOCK, seconds: SECONDS })], {
    encoding: 'utf8',
    maxBuffer: 1 << 24,
  });
  if (result.status !== 0) return { error: 'python3 has no torch' };
  return JSON.parse(result.stdout.trim().split('\n').at(-1));
}

const torch = timeTorch();
const rows = [];
for (const workload of chosen) {
  const row = { name: workload.name, flops: workload.flops };
  for (const backend of ['xla', 'wasm']) row[backend] = await timeTfjs(backend, workload);
  row.torch = torch.error ? { error: torch.error } : torch.times[workloads.indexOf(workload)];
  rows.push(row);
}

await tf.setBackend('xla');
const one = tf.ones([2, 2]);
const params = Object.fromEntries(
  Array.from({ length: 1000 }, (_, i) => [`layer.${i}.weight`, tf.ones([2, 2])]),
);
const small = jit((x) => tf.add(x, 1));
const many = jit((p, x) => tf.add(p['layer.7.weight'], x));
const overheads = {
  smallJitMicroseconds: (await median(() => small(one).dispose())) * 1000,
  smallKernelMicroseconds: (await median(() => tf.add(one, one).dispose())) * 1000,
  thousandParametersMs: await median(() => many(params, one).dispose()),
};
if (options.dispatches) {
  const count = Number(options.dispatches);
  const before = process.memoryUsage().rss;
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    small(one).dispose();
    if (i % 10_000 === 0) await new Promise(setImmediate);
  }
  overheads.dispatches = {
    count,
    seconds: (performance.now() - start) / 1000,
    growthMiB: (process.memoryUsage().rss - before) / 2 ** 20,
    tensors: tf.memory().numTensors,
  };
}

const cell = ({ ms, cpuMs, error }, flops) => {
  if (error) return '-';
  const rate = flops ? `, ${(flops / ms / 1e6).toFixed(0)} GFLOP/s` : '';
  return `${ms.toFixed(2)} ms${rate}${cpuMs === undefined ? '' : ` (CPU ${cpuMs.toFixed(2)} ms)`}`;
};
console.log(`${cpus().length} × ${cpus()[0].model}, Node ${process.version}`);
console.log('| work | xla (jit) | wasm | PyTorch |\n| --- | --- | --- | --- |');
for (const { name, flops, xla, wasm, torch: reference } of rows) {
  console.log(`| ${name} | ${cell(xla, flops)} | ${cell(wasm, flops)} | ${cell(reference, flops)} |`);
}
for (const { name, ...engines } of rows) {
  for (const [engine, result] of Object.entries(engines)) {
    if (result?.error) console.log(`${engine}, ${name}: ${result.error}`);
  }
}
console.log(JSON.stringify(overheads, null, 1));
if (options.json)
  writeFileSync(options.json, `${JSON.stringify({ cpus: cpus().length, rows, overheads }, null, 1)}\n`);
