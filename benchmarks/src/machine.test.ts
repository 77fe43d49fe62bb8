import { expect, test } from 'vitest';
import { visibleGpus } from './machine';

test.each([
  [undefined, 4],
  ['2,3', 2],
  ['1', 1],
  ['', 0],
])('GPUs of a machine with four where CUDA_VISIBLE_DEVICES is %o: %i', (visible, expected) => {
  expect(visibleGpus(4, visible)).toBe(expected);
});
