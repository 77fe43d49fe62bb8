import { createRequire } from 'node:module';
import { dirname } from 'node:path';
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
  if (backend === 'wasm') {
    const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
    const entry = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
    setWasmPaths(`${dirname(entry)}/`);
  }
  if (backend === 'xla') await import('@flow-grpo/tfjs-backend-xla');
  expect(await tf.setBackend(backend), `tfjs backend ${backend} starts`).toBe(true);
}
