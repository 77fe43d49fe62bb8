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

/** The gradient of a step's log-probability, which needs that of tf.neg and more, and three that tfjs-core has wrong. */
const PROGRAM = `
  import * as tf from '@tensorflow/tfjs-core';
  import '@tensorflow/tfjs-backend-cpu';
  import { logProbOfStep, sampleTrajectory, shiftedSchedule } from './sampler.mjs';
  await tf.setBackend('cpu');
  const velocity = (x) => tf.sub(tf.tensor([2, -1]), x);
  const run = sampleTrajectory(velocity, { schedule: shiftedSchedule(4, 3), noiseLevel: 0.7, shape: [3, 2], seed: 1 });
  const loss = (v) => tf.neg(tf.sum(logProbOfStep(run.coefficients[0], { x: run.latents[0], velocity: v, next: run.nextLatents[0] })));
  const grad = await tf.grad(loss)(velocity(run.latents[0])).data();
  const slope = async (f, x) => [...(await tf.grad((y) => tf.sum(f(y)))(x).data())];
  console.log(JSON.stringify({
    finite: grad.every(Number.isFinite),
    some: grad.some((x) => x !== 0),
    product: await slope((x) => tf.prod(x), tf.tensor1d([2, 3, 4])),
    single: await slope((x) => tf.unstack(x)[0], tf.tensor2d([[5, 6]])),
    maximum: await slope((x) => tf.maximum(x, tf.zeros([3, 2])), tf.tensor1d([1, -1])),
  }));
`;

/** What may register gradients: this package, the backend, and tfjs-layers, which has those of tfjs-core in it. */
const IMPORTS = ['@tensorflow/tfjs-core', '@tensorflow/tfjs-layers', './gradients.mjs', './xla.mjs'];

const orders = (names: readonly string[]): string[][] =>
  names.length === 0
    ? [[]]
    : names.flatMap((first) =>
        orders(names.filter((name) => name !== first)).map((rest) => [first, ...rest]),
      );

const runProgram = async (name: string, imports: readonly string[]) => {
  const file = join(folder, `${name}.mjs`);
  writeFileSync(file, `${imports.map((each) => `import '${each}';`).join('\n')}\n${PROGRAM}`);
  const { stdout } = await promisify(execFile)(process.execPath, [file]);
  return JSON.parse(stdout.slice(stdout.indexOf('{'))) as unknown;
};

const expected = { finite: true, some: true, product: [12, 8, 6], single: [1, 1], maximum: [3, 0] };

it.concurrent.each(
  [['./gradients.mjs'], ['./xla.mjs'], ...orders(IMPORTS)].map(
    (order, i) => [order.join(', '), order, i] as const,
  ),
)('imported in the order %s, gradients are there in Node, corrected', async (_, order, i) => {
  expect(await runProgram(`order-${i}`, order)).toEqual(expected);
});

it('without the import they are missing, and tfjs says so', async () => {
  await expect(runProgram('without', [])).rejects.toThrow(/gradient function not found/);
});

it('those of tfjs-layers alone are wrong: the orders above show something', async () => {
  await expect(runProgram('layers-alone', ['@tensorflow/tfjs-layers'])).rejects.toThrow();
});
