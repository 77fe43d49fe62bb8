import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it, vi } from 'vitest';
import { configure } from '../index';
import { client } from './client';

it('frees device memory of tensors that were collected undisposed, and says so', async () => {
  const warnings = [vi.spyOn(console, 'warn'), vi.spyOn(process, 'emitWarning')];
  for (const spy of warnings) spy.mockImplementation(() => undefined);
  configure({ finalizeLeaks: true });
  await tf.setBackend('xla');
  setFlagsFromString('--expose_gc');
  const collect = runInNewContext('gc') as () => void;
  const x = tf.ones([10]);
  (() => {
    for (let i = 0; i < 200; i++) tf.add(x, i);
  })();
  expect(client().liveBuffers).toBeGreaterThan(200);
  for (let i = 0; i < 50 && client().liveBuffers > 20; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(client().liveBuffers).toBeLessThan(20);
  expect(warnings.some((spy) => spy.mock.calls.length > 0)).toBe(true);
});

it('refuses options once XLA runs', () => {
  expect(() => configure({ devices: 2 })).toThrow(/already running/);
  expect(() => configure({ devices: 0 })).toThrow(/positive integer/);
});
