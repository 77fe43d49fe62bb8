import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { countParams, matchesPattern, pickParams, selectNames } from './params';

const names = ['diffusion_head_a.0.mlp.up_proj.weight', 'showo.model.norm.weight', 'diff_proj.0.bias'];

describe('selectNames', () => {
  it('takes parts of names, globs, expressions and all', () => {
    expect(selectNames(names, ['diffusion'])).toEqual([names[0]]);
    expect(selectNames(names, ['*.bias', /norm/])).toEqual([names[1], names[2]]);
    expect(selectNames(names, ['all'])).toEqual(names);
  });

  it('refuses a pattern that fits nothing', () => {
    expect(() => selectNames(names, ['difusion'])).toThrow(/difusion/);
  });

  it('is not confused by the state of a global expression', () => {
    const pattern = /norm/g;
    expect([matchesPattern(names[1]!, pattern), matchesPattern(names[1]!, pattern)]).toEqual([true, true]);
  });
});

describe('records', () => {
  it('picks by name and counts tied tensors once', () => {
    const tied = tf.zeros([2, 3]);
    const params = { a: tied, b: tied, c: tf.zeros([4]) };
    expect(countParams(params)).toBe(10);
    expect(Object.keys(pickParams(params, ['c', 'a']))).toEqual(['c', 'a']);
    expect(() => pickParams(params, ['d'])).toThrow(/'d' is missing/);
  });
});
