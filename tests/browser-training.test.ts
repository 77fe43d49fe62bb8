import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launchChromium } from '@flow-grpo/test-support/chromium';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, it } from 'vitest';

/** A page that never leaves this process: what it asks for is answered from here. */
const PAGE = 'http://training.test/';
const wasm = join(
  dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json')),
  'wasm-out',
);

/** Trains points towards the right: the reward is the first coordinate. */
const SCRIPT = `
  import '@tensorflow/tfjs-backend-cpu';
  import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
  import * as tf from '@tensorflow/tfjs-core';
  import { gaussianFlow, memoryStore, train } from '@flow-grpo/grpo-trainer';
  globalThis.trainToy = async (backend) => {
    setWasmPaths('${PAGE}');
    if (!(await tf.setBackend(backend))) throw new Error(backend + ' did not start');
    const rewards = [];
    const store = memoryStore();
    const result = await train({
      policy: gaussianFlow({ prompts: ['a', 'b'], mean: [0.2, 0.2], std: 0.2 }),
      prompts: [{ prompt: 'a' }, { prompt: 'b' }],
      scorer: async (images) => {
        const pixels = await images.data();
        return Array.from({ length: images.shape[0] }, (_, i) => pixels[3 * i]);
      },
      config: {
        epochs: 8,
        saveEvery: 4,
        sampling: { numSteps: 6, promptsPerEpoch: 2, samplesPerPrompt: 16 },
        training: { learningRate: 0.05 },
        grpo: { clipRange: 0.2 },
        ema: { enabled: false },
      },
      store,
      onEpoch: ({ reward }) => rewards.push(reward),
    });
    return { backend: tf.getBackend(), reason: result.reason, rewards, saved: (await store.list()).length };
  };`;

let browser: Awaited<ReturnType<typeof launchChromium>>;
let script: string;
beforeAll(async () => {
  const { outputFiles } = await build({
    stdin: { contents: SCRIPT, resolveDir: fileURLToPath(new URL('.', import.meta.url)) },
    bundle: true,
    write: false,
    format: 'iife',
    platform: 'browser',
    conditions: ['@flow-grpo/source'],
    mainFields: ['module', 'main'], // one tfjs-core: the modules that its gradients import
    ignoreAnnotations: true, // gradients are side effects of files that claim to have none
    external: ['node-fetch', 'util', 'fs', 'path', 'os', 'crypto', 'worker_threads', 'perf_hooks'],
    logLevel: 'error',
  });
  script = outputFiles[0]!.text;
  browser = await launchChromium();
});
afterAll(() => browser?.close());

it.each(['cpu', 'wasm'])('the trainer trains in Chromium on %s', async (backend) => {
  const page = await browser.context.newPage();
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(error.message));
  await page.route(`${PAGE}**`, (route) => {
    const name = new URL(route.request().url()).pathname.slice(1);
    if (!name.endsWith('.wasm')) {
      return route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>training</title>' });
    }
    return route.fulfill({ contentType: 'application/wasm', body: readFileSync(join(wasm, name)) });
  });
  await page.goto(PAGE);
  await page.addScriptTag({ content: script });
  const run = await page.evaluate(
    (name) =>
      (
        globalThis as unknown as {
          trainToy(
            name: string,
          ): Promise<{ backend: string; reason: string; rewards: number[]; saved: number }>;
        }
      ).trainToy(name),
    backend,
  );
  expect(errors).toEqual([]);
  expect(run).toMatchObject({ backend, reason: 'finished', saved: 2 });
  expect(run.rewards).toHaveLength(8);
  const [first, last] = [run.rewards[0]!, run.rewards.at(-1)!];
  expect(last).toBeGreaterThan(first + 0.1);
  await page.close();
});
