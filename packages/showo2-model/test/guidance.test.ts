import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { parseShowo2Yaml } from '../src/config/yaml';
import { guide } from '../src/guidance';
import { encodePrompts, initShowo2Params, showo2Velocity, velocityFromFeatures } from '../src/index';
import { config } from './tiny-model';

const conditional = tf.tensor1d([3, 6]);
const unconditional = tf.tensor1d([2, 4]);
const NO_SCALE = [-1, -0.001, Number.NaN, Number.POSITIVE_INFINITY];

describe('a guidance scale', () => {
  it('of 0 means no guidance, as upstream has it; above, u + scale·(c − u)', () => {
    const at = (scale: number) => [...guide(conditional, unconditional, scale).dataSync()];
    expect(at(0)).toEqual([3, 6]);
    expect(at(0.5)).toEqual([2.5, 5]);
    expect(at(1)).toEqual([3, 6]);
    expect(at(5)).toEqual([7, 14]);
  });

  it('below 0 is an error, in every call that takes one', () => {
    const params = initShowo2Params(config, 1);
    const condition = encodePrompts(params, config, [[5, 6]]);
    const shape = [1, 4, 4, 4];
    const [x, t] = [tf.zeros(shape), tf.tensor1d([0.5])];
    const { features } = showo2Velocity(params, config, x, t, condition, { guidanceScale: 0 });
    for (const guidanceScale of NO_SCALE) {
      const options = { guidanceScale };
      expect(() => guide(conditional, unconditional, guidanceScale)).toThrow(/guidanceScale must be 0/);
      expect(() => showo2Velocity(params, config, x, t, condition, options)).toThrow(
        /guidanceScale must be 0/,
      );
      expect(() => velocityFromFeatures(params, config, features, t, condition, shape, options)).toThrow(
        /guidanceScale must be 0/,
      );
    }
    expect(() => parseShowo2Yaml('model: { showo: {} }\ntransport: { guidance_scale: -1 }')).toThrow(
      /guidance_scale/,
    );
  });
});
