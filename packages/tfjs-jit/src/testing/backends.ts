/** For tests: the suites of these functions on tfjs backends without a compiler. */
import '@tensorflow/tfjs-backend-cpu';
import { findWasm } from '@flow-grpo/test-support/wasm';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect } from 'vitest';
import '../gradients';

findWasm();

/** The block once per backend, on that backend. */
export function onPlainBackends(title: string, block: (backend: 'cpu' | 'wasm') => void): void {
  describe.each(['cpu', 'wasm'] as const)(`${title} on %s`, (backend) => {
    beforeAll(async () => {
      expect(await tf.setBackend(backend)).toBe(true);
    });
    block(backend);
  });
}
