import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bundleFolder, bundleSources } from '@flow-grpo/test-support/bundle';
import { afterAll, beforeAll, expect, it } from 'vitest';

const packages = fileURLToPath(new URL('../../', import.meta.url));
const folder = bundleFolder(join(packages, 'sde-sampler'));

/** The side-effect export, the sampler and the backend, each with what it needs of this repository in it. */
beforeAll(async () => {
  await bundleSources(join(packages, 'sde-sampler/src/gradients.ts'), join(folder, 'gradients.mjs'));
  await bundleSources(join(packages, 'sde-sampler/src/index.ts'), join(folder, 'sampler.mjs'));
  await bundleSources(join(packages, 'tfjs-backend-xla/src/index.ts'), join(folder, 'xla.mjs'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The gradient of a step's log-probability, which needs that of tf.neg and more, and one that tfjs-core has wrong. */
const PROGRAM = `
  import * as tf from '@tensorflow/tfjs-core';
  import '@tensorflow/tfjs-backend-cpu';
  import { logProbOfStep, sampleTrajectory, shiftedSchedule } from './sampler.mjs';
  await tf.setBackend('cpu');
  const velocity = (x) => tf.sub(tf.tensor([2, -1]), x);
  const run = sampleTrajectory(velocity, { schedule: shiftedSchedule(4, 3), noiseLevel: 0.7, shape: [3, 2], seed: 1 });
  const loss = (v) => tf.neg(tf.sum(logProbOfStep(run.coefficients[0], { x: run.latents[0], velocity: v, next: run.nextLatents[0] })));
  const grad = await tf.grad(loss)(velocity(run.latents[0])).data();
  const product = await tf.grad((x) => tf.prod(x))(tf.tensor1d([2, 3, 4])).data();
  console.log(JSON.stringify({ finite: grad.every(Number.isFinite), some: grad.some((x) => x !== 0), product: [...product] }));
`;

it.each([
  ['alone', ["import './gradients.mjs';"]],
  ['before the backend', ["import './gradients.mjs';", "import './xla.mjs';"]],
  ['after the backend', ["import './xla.mjs';", "import './gradients.mjs';"]],
])('imported %s, gradients are there in Node, corrected', async (name, imports) => {
  const file = join(folder, `${name.replaceAll(' ', '-')}.mjs`);
  writeFileSync(file, `${imports.join('\n')}\n${PROGRAM}`);
  const { stdout } = await promisify(execFile)(process.execPath, [file]);
  expect(JSON.parse(stdout.slice(stdout.indexOf('{')))).toEqual({
    finite: true,
    some: true,
    product: [12, 8, 6],
  });
});

it('without the import they are missing, and tfjs says so', async () => {
  const file = join(folder, 'without.mjs');
  writeFileSync(file, PROGRAM);
  await expect(promisify(execFile)(process.execPath, [file])).rejects.toThrow(/gradient function not found/);
});
