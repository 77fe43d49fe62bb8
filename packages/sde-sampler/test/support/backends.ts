import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect } from 'vitest';

export const backendNames = ['cpu', 'wasm', 'xla'] as const;
export type BackendName = (typeof backendNames)[number];

/** The block once per backend, on that backend. A backend that does not start fails its tests. */
export function onEveryBackend(title: string, block: (backend: BackendName) => void): void {
  describe.each(backendNames)(`${title} on %s`, (backend) => {
    beforeAll(() => use(backend));
    afterAll(async () => {
      await tf.setBackend('cpu');
    });
    block(backend);
  });
}

export async function use(backend: BackendName): Promise<void> {
  if (backend === 'wasm') (await import('@flow-grpo/test-support/wasm')).findWasm();
  if (backend === 'xla') await import('@flow-grpo/tfjs-backend-xla');
  expect(await tf.setBackend(backend), `tfjs backend ${backend} starts`).toBe(true);
}

/** Every suite of the sources, and the marginals, as tests of the calling file, on this backend. */
export async function everySuiteOn(backend: BackendName): Promise<void> {
  beforeAll(() => use(backend));
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const suites = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => join('src', file));
  for (const suite of [...suites.sort(), 'test/marginals.long.test.ts']) await import(join(root, suite));
}
