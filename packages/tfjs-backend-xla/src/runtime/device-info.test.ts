import { deviceInfo } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { configure } from '../index';

it('tells what devices there are', async () => {
  configure({ platform: 'cpu', devices: 2 });
  await tf.setBackend('xla');
  expect(deviceInfo()).toHaveLength(2);
  expect(deviceInfo()[1]).toMatchObject({ kind: 'cpu', platform: 'cpu', bytesInUse: undefined });
});
