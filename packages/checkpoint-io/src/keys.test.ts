import { describe, expect, it } from 'vitest';
import { checkKeys, KeyMismatchError } from './index';

const expected = { a: [2, 3], b: [4], c: [] };

describe('checkKeys', () => {
  it('accepts what fits, with optional and ignored names', () => {
    checkKeys(expected, { a: [2, 3], b: [4], c: [] });
    checkKeys(
      expected,
      { a: [2, 3], b: [4], extra: [1] },
      { optional: (name) => name === 'c', ignore: (name) => name === 'extra' },
    );
  });

  it('lists everything that is wrong in one error', () => {
    const run = () => checkKeys(expected, { a: [3, 2], c: [], d: [1] }, { what: 'model.safetensors' });
    expect(run).toThrow(KeyMismatchError);
    try {
      run();
    } catch (error) {
      const { missing, unexpected, misshaped, message } = error as KeyMismatchError;
      expect({ missing, unexpected, misshaped }).toEqual({
        missing: ['b'],
        unexpected: ['d'],
        misshaped: [{ name: 'a', expected: [2, 3], actual: [3, 2] }],
      });
      for (const part of [
        'model.safetensors',
        'missing (1)',
        'unexpected (1)',
        'a: expected [2,3], found [3,2]',
      ]) {
        expect(message).toContain(part);
      }
    }
  });

  it('is not fooled by names of object properties', () => {
    expect(() => checkKeys({ constructor: [1] }, {})).toThrow('missing (1)');
    expect(() => checkKeys({}, { toString: [1] })).toThrow('unexpected (1)');
  });
});
