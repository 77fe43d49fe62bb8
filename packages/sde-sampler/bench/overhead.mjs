/**
 * What the sampler costs beside the model: a 12-step SDE trajectory with log-probabilities on Show-o2's 432 px
 * latents [1, 54, 54, 16] with a trivial velocity, less the twelve bare velocity calls. The step of Show-o2 it is
 * compared with is a lower bound: the trunk's multiplications (1.31 G parameters, 730 tokens, no guidance) at the
 * rate of a large matrix product on the same backend.
 *
 *     node bench/overhead.mjs [--json file]
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { initialNoise, sampleTrajectory, seededNoise, shiftedSchedule } from '@flow-grpo/sde-sampler';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';

tf.env().set('IS_TEST', true);
const steps = 12;
const shape = [1, 54, 54, 16];
const trunkFlops = 2 * 1.31e9 * 730;
const schedule = shiftedSchedule(steps, 3);
const velocity = (x) => tf.mul(x, 0.5);

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** Milliseconds of a run, the median of several after one that warms up. */
function time(run, repeats) {
  run();
  return median(
    Array.from({ length: repeats }, () => {
      const start = performance.now();
      run();
      return performance.now() - start;
    }),
  );
}

const read = (tensor) => {
  tensor.dataSync();
  tensor.dispose();
};

/** FLOP/s of a matrix product on the backend in use. */
function matmulRate(size) {
  const a = tf.fill([size, size], 0.5);
  const rate = (2 * size ** 3) / (time(() => read(tf.matMul(a, a)), 3) / 1000);
  a.dispose();
  return rate;
}

function measure(backend, jit, compiled) {
  const x = initialNoise(1, shape);
  const noise = tf.stack(
    Array.from({ length: steps }, (_, step) => seededNoise(1)({ step, shape, sampleIds: [0] })),
  );
  const bare = jit((at) => {
    let v = at;
    for (let i = 0; i < steps; i++) v = velocity(v);
    return v;
  });
  const rollout = jit((at, draws) => {
    const { final, logProbs } = sampleTrajectory(velocity, { schedule, x: at, noise: draws });
    return [final, tf.stack(logProbs)];
  });
  const before = compiled();
  const first = tf.tidy(() => rollout(x, noise));
  const executables = compiled() - before;
  tf.dispose(first);
  const bareMs = time(() => read(tf.tidy(() => bare(x))), 9);
  const fullMs = time(() => {
    const [final, logProbs] = tf.tidy(() => rollout(x, noise));
    read(logProbs);
    read(final);
  }, 9);
  const overheadMs = Math.max(0, fullMs - bareMs) / steps;
  const showo2Ms = (trunkFlops / matmulRate(backend === 'xla' ? 1024 : 256)) * 1000;
  tf.dispose([x, noise]);
  return {
    backend,
    bareMs,
    trajectoryMs: fullMs,
    overheadPerStepMs: overheadMs,
    showo2StepMs: showo2Ms,
    overheadPercent: (100 * overheadMs) / showo2Ms,
    executables: backend === 'xla' ? executables : null,
  };
}

const results = [];
await tf.setBackend('cpu');
const plain = (fn) => fn;
results.push(measure('cpu', plain, () => 0));
try {
  const { compilationStats, jit } = await import('@flow-grpo/tfjs-backend-xla');
  if (!(await tf.setBackend('xla'))) throw new Error('the backend did not start');
  const programs = () => compilationStats().compiled + compilationStats().loadedFromDisk;
  results.push(measure('xla', jit, programs));
} catch (error) {
  console.log(`xla: not measured: ${error.message}`);
}

console.table(
  results.map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([key, value]) => [
        key,
        typeof value === 'number' ? Number(value.toPrecision(3)) : value,
      ]),
    ),
  ),
);
const report = {
  benchmark: 'sde-sampler overhead',
  steps,
  shape,
  machine: `${cpus().length} × ${cpus()[0].model}`,
  node: process.version,
  results,
};
console.log(JSON.stringify(report));
const at = process.argv.indexOf('--json');
if (at > 0) writeFileSync(process.argv[at + 1], `${JSON.stringify(report, null, 2)}\n`);
for (const { backend, overheadPercent, executables } of results) {
  if (executables !== null && executables !== 1) {
    console.error(`${backend}: the trajectory is ${executables} executables, not one`);
    process.exitCode = 1;
  }
  if (overheadPercent >= 2) {
    console.error(
      `${backend}: the overhead is ${overheadPercent.toFixed(2)} % of a Show-o2 step, the limit is 2 %`,
    );
    process.exitCode = 1;
  }
}
