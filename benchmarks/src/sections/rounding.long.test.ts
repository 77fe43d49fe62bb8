/** The section at tiny sizes: the numbers that it leaves for the other engine. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loadParams } from '@flow-grpo/checkpoint-io';
import { showo2LatentShape, showo2ParameterSpecs } from '@flow-grpo/showo2-model';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TINY } from '../workload';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'flow-grpo-bench-test-'));
const args = ['--tiny', '--engines', 'ours', '--sections', 'rounding', '--out', folder];
const bench = (...more: string[]) =>
  run(process.execPath, ['benchmarks/.bundle/bench.mjs', ...args, ...more], { cwd: root });

beforeAll(() => run(process.execPath, ['benchmarks/bundle.mjs'], { cwd: root }));
afterAll(() => rmSync(folder, { recursive: true }));

/** Norm of the difference over the norm. */
const apart = (a: tf.Tensor, b: tf.Tensor) => tf.div(tf.norm(tf.sub(a, b)), tf.norm(b)).dataSync()[0]!;

it('writes velocity, trajectory and gradients: narrow ones near those of float32, and not the same', async () => {
  await bench('--keep', folder);
  await tf.setBackend('cpu');
  const read = (name: string) => loadParams(join(folder, `ours-${name}.safetensors`));
  const wide = await read('float32');
  const trained = Object.keys(showo2ParameterSpecs(TINY.rounding)).filter((name) =>
    name.startsWith('diffusion_head_'),
  );
  expect(Object.keys(wide).sort()).toEqual(
    ['velocity', 'trajectory', ...trained.map((name) => `gradient.${name}`)].sort(),
  );
  expect(wide.velocity!.shape).toEqual([4, ...showo2LatentShape(TINY.rounding)]);
  for (const name of ['bfloat16', 'everyRounding']) {
    const narrow = await read(name);
    for (const [key, value] of Object.entries(wide)) {
      expect(apart(narrow[key]!, value), `${name} ${key}`).toBeGreaterThan(1e-4);
      expect(apart(narrow[key]!, value), `${name} ${key}`).toBeLessThan(0.2);
    }
  }
});

it('asks for the folder that both engines share', async () => {
  await expect(bench()).rejects.toMatchObject({
    stdout: expect.stringMatching(/rounding failed: .*--keep FOLDER/),
  });
});
