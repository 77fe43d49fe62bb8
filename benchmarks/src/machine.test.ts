import { expect, test } from 'vitest';
import { visibleGpus } from './machine';

test.each([
  [undefined, ['0', '1', '2', '3']],
  ['2,3', ['2', '3']],
  ['1', ['1']],
  ['', []],
])('GPUs of a machine with four where CUDA_VISIBLE_DEVICES is %o: %j', (visible, expected) => {
  expect(visibleGpus(4, visible)).toEqual(expected);
});
