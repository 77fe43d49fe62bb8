import '@tensorflow/tfjs-backend-cpu';
import '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Params } from './params';

/** A module that has not warned yet. */
let warnIfUncompiled: (what: string, params: Params) => void;
beforeEach(async () => {
  vi.resetModules();
  ({ warnIfUncompiled } = await import('./warn-uncompiled'));
});
afterEach(() => vi.restoreAllMocks());

/** Parameters of this many numbers, without the numbers. */
const ofSize = (size: number): Params => ({ weight: { size } as tf.Tensor });

it('warns of a large model once where nothing is compiled, with what to do', async () => {
  await tf.setBackend('cpu');
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
  warnIfUncompiled('small', ofSize(99_999_999));
  expect(warn).not.toHaveBeenCalled();
  warnIfUncompiled('org/model', ofSize(1_500_000_000));
  warnIfUncompiled('org/model', ofSize(1_500_000_000));
  expect(warn).toHaveBeenCalledTimes(1);
  expect(warn.mock.calls[0]![0]).toMatch(/org\/model has 1500 million parameters.*await its startXla\(\)/);
});

it('says nothing where programs are compiled', async () => {
  expect(await tf.setBackend('xla')).toBe(true);
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
  warnIfUncompiled('org/model', ofSize(1_500_000_000));
  expect(warn).not.toHaveBeenCalled();
});
