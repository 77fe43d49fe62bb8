/** What the compiler is given for a deep model: with stacked layers no more than for a shallow one. */
import '@flow-grpo/tfjs-backend-xla';
import { onCpu } from '@flow-grpo/test-support/on-cpu';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import {
  encodePrompts,
  initShowo2Params,
  type Showo2Config,
  showo2Velocity,
  trainableNames,
} from '../src/index';
import { stackFrozen } from '../src/layers';
import { config as tiny } from './tiny-model';
import { useXla } from './xla';

await useXla();

const withDepth = (layers: number): Showo2Config => ({
  ...tiny,
  trunk: { ...tiny.trunk, layers },
  vision: { ...tiny.vision, layers },
  head: { ...tiny.head, layers },
});

/** Lines of the guided velocity's program, text included. */
function programLines(layers: number, arrange: (params: Params) => Params): number {
  const config = withDepth(layers);
  const step = jit((params: Params, x: tf.Tensor, t: tf.Tensor) => {
    const condition = encodePrompts(params, config, [[1, 2, 3]], { head: true });
    return showo2Velocity(params, config, x, t, condition, { guidanceScale: 5 }).velocity;
  });
  const side = config.gridHeight * config.patchSize;
  const x = tf.zeros([1, side, side, config.latentChannels]);
  const { text } = step.lower(arrange(onCpu(() => initShowo2Params(config, 1))), x, tf.tensor1d([0.5]));
  return text.split('\n').length;
}

type Params = ReturnType<typeof initShowo2Params>;

it('is of one size for 4 and for 28 layers when they are stacked', () => {
  expect(programLines(28, stackFrozen)).toBe(programLines(4, stackFrozen));
});

it('grows by the layers that train, which stay unrolled', () => {
  const frozenAlone = (params: Params) => stackFrozen(params, trainableNames(params));
  const few = programLines(4, frozenAlone);
  const many = programLines(28, frozenAlone);
  expect(few).toBeGreaterThan(programLines(4, stackFrozen));
  expect(many).toBeGreaterThan(2 * few);
  expect(many).toBeLessThan(0.6 * programLines(28, (params) => params));
});
