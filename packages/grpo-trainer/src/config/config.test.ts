import { describe, expect, it } from 'vitest';
import { ConfigError, resolveConfig } from './resolve';

describe('resolveConfig', () => {
  it('fills in defaults', () => {
    const config = resolveConfig({});
    expect(config.training.clipRange).toBe(1e-4);
    expect(config.sampling.window).toMatchObject({ kind: 'fixed', start: 1 });
  });

  it.each([
    [{ sampling: { windwo: {} } }, /sampling.windwo is not an option; did you mean sampling.window\?/],
    [{ zebra: 1 }, /^zebra is not an option$/],
    [{ epochs: 'many' }, /^epochs: /],
    [{ sampling: { samplesPerPrompt: 1 } }, /at least 2/],
    [{ sampling: { batchSize: 7 } }, /must divide .* \(128\)/],
    [{ sampling: { window: { start: 0 } } }, /window.start is 0/],
    [{ sampling: { window: { end: 13 } } }, /do not lie in 0 … 11/],
    [{ sampling: { window: { kind: 'random' } } }, /size is needed/],
    [{ sampling: { window: { kind: 'random', size: 11 } } }, /larger than the range/],
    [{ sampling: { window: { size: 3 } } }, /leave it out/],
    [{ sampling: { rule: 'cps', window: { end: 12 } } }, /last CPS step/],
    [{ sampling: { rule: 'cps', noiseLevel: 2 } }, /at most 1/],
    [{ sampling: { noiseLevel: 0 } }, /no log-probability/],
    [{ sampling: { rule: 'cps' }, training: { objective: 'guard' } }, /needs sampling.rule sde/],
    [{ training: { objective: 'dpo' } }, /training.beta must be positive/],
    [{ training: { updatesPerEpoch: 1000 } }, /larger than the 128 images/],
  ])('refuses %j', (input, message) => {
    expect(() => resolveConfig(input)).toThrow(ConfigError);
    expect(() => resolveConfig(input)).toThrow(message);
  });

  it('lists every problem at once', () => {
    expect(() => resolveConfig({ sampling: { noiseLevel: 0, batchSize: 7 } })).toThrow(/\n/);
  });
});
