import '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect } from 'vitest';

/** Every comparison of the losses with upstream's numbers, on XLA. */
beforeAll(async () => {
  expect(await tf.setBackend('xla')).toBe(true);
});

afterAll(async () => {
  await tf.setBackend('cpu');
});

await import('./awm.parity.test');
await import('./crd.parity.test');
await import('./dgpo.parity.test');
await import('./flow-dppo.parity.test');
await import('./nft.parity.test');
