/** The fast path at the sizes people generate, over a model that is small in everything but its sequences. */
import '@flow-grpo/tfjs-backend-xla';
import { longOnly, maxAbs, maxAbsDiff } from '@flow-grpo/test-support';
import { onCpu } from '@flow-grpo/test-support/on-cpu';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { guide } from '../src/guidance';
import {
  encodePrompts,
  forwardSequence,
  generationLayout,
  imageBlockLength,
  initShowo2Params,
  type Showo2Config,
  showo2Velocity,
} from '../src/index';
import { config as tiny } from './tiny-model';
import { useXla } from './xla';

await useXla();

/** Upstream's position table. */
const TABLE = 27;
const PIXELS_PER_PATCH = 16;
const SIZES = [[432, 432], [512, 512], [432, 768], ...longOnly([[1024, 1024]])] as [number, number][];
const guidanceScale = 5;
const prompts = [[3, 4, 5, 6], [7]];

/** Random weights, the zero-initialised ones too, larger than at the start: numbers then depend on every path. */
function weights(config: Showo2Config) {
  return onCpu(() => {
    const drawn = Object.entries(initShowo2Params(config, 1));
    return Object.fromEntries(
      drawn.map(([name, x], i) => [name, tf.add(x, tf.randomNormal(x.shape, 0, 0.1, 'float32', i + 1))]),
    );
  });
}

describe('guided velocity', () => {
  it.each(SIZES)('at %s x %s pixels equals the plain forward', (height, width) => {
    const config = {
      ...tiny,
      positionGrid: TABLE,
      gridHeight: height / PIXELS_PER_PATCH,
      gridWidth: width / PIXELS_PER_PATCH,
    };
    const params = weights(config);
    const shape = [
      prompts.length,
      config.gridHeight * config.patchSize,
      config.gridWidth * config.patchSize,
      config.latentChannels,
    ];
    const x = tf.randomNormal(shape, 0, 1, 'float32', 2);
    const t = tf.tensor1d([0.2, 0.7]);
    const fast = jit((p: typeof params, latents: tf.Tensor, times: tf.Tensor) => {
      const condition = encodePrompts(p, config, prompts, { textLength: 6 });
      return showo2Velocity(p, config, latents, times, condition, { guidanceScale }).velocity;
    })(params, x, t);
    const { conditional, unconditional } = generationLayout(prompts, {
      tokens: config.tokens,
      blockLength: imageBlockLength(config),
      maxTextLength: 6,
    });
    const positions = [...conditional.positions, ...unconditional.positions];
    const plain = jit((p: typeof params, latents: tf.Tensor, times: tf.Tensor) => {
      const tokens = tf.tensor2d([...conditional.tokens, ...unconditional.tokens], undefined, 'int32');
      const twice = (y: tf.Tensor) => tf.concat([y, y], 0);
      const inputs = { tokens, positions, latents: twice(latents), t: twice(times) };
      const [c, u] = tf.split(forwardSequence(p, config, inputs).velocity, 2) as [tf.Tensor, tf.Tensor];
      return guide(c, u, guidanceScale);
    })(params, x, t);
    const expected = plain.dataSync();
    expect(maxAbs(expected)).toBeGreaterThan(0.1);
    expect(maxAbsDiff(fast.dataSync(), expected)).toBeLessThan(1e-5 * maxAbs(expected));
  });
});
