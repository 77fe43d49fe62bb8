import { describe, expect, it } from 'vitest';
import { isCompared, plannedEpochs, watchOptions } from './run-config';

const DEFAULT = { window: 10, tolerance: 1 };

describe('a run whose configuration', () => {
  it('says how it is watched', () => {
    const config = JSON.stringify({ epochs: 40, hacking: { action: 'warn', window: 4, tolerance: 1.5 } });
    expect(watchOptions(config)).toEqual({ window: 4, tolerance: 1.5 });
    expect(plannedEpochs(config)).toBe(40);
    expect(watchOptions('{"hacking":{"window":4}}')).toEqual({ ...DEFAULT, window: 4 });
  });

  it.each([
    null,
    '',
    'null',
    '[]',
    '"text"',
    '{"epochs":"40","hacking":null}',
    '{"hacking":3}',
    '{"hacking":{"window":"4","tolerance":null}}',
    '{"hacking":{"window":null,"tolerance":"wide"}}',
    '{"hacking":{"window":0,"tolerance":-1}}',
  ])('is %s says nothing', (config) => {
    expect(watchOptions(config)).toEqual(DEFAULT);
    expect(plannedEpochs(config)).toBe(null);
  });
});

it('two windows are compared', () => {
  expect([19, 20].map((epochs) => isCompared(epochs, DEFAULT))).toEqual([false, true]);
});
