import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import type { Scorer } from '../scorer';
import { withFailureRule } from './failure';
import { groupwise } from './groups';
import { multiScore } from './multi-score';
import { affineScale, byRank, standardise, unitRange } from './normalise';

const files = (count: number) => Array.from({ length: count }, (_, i) => ({ bytes: Uint8Array.of(i) }));
const nothing = (count: number) => Array.from({ length: count }, () => ({}));
const byPrompt = (name: string, table: Record<string, number>): Scorer => ({
  name,
  async score(_, prompts) {
    const scores = prompts.map((prompt) => {
      const score = table[prompt];
      if (score === undefined) throw new Error(`no score for ${prompt}`);
      return score;
    });
    return { scores, details: { part: scores } };
  },
});

describe('normalisation', () => {
  it('scales, clips, standardises and ranks', () => {
    expect(affineScale(2, 1)([1, 2])).toEqual([3, 5]);
    expect(unitRange(10, 20)([5, 15, 25])).toEqual([0, 0.5, 1]);
    expect(unitRange(1, 0)([0.25])).toEqual([0.75]);
    expect(standardise()([1, 3])).toEqual([-1, 1]);
    expect(standardise()([4, 4])).toEqual([0, 0]);
    // The mean of three times 0.1 is not 0.1.
    expect(standardise()([0.1, Number.NaN, 0.1, 0.1])).toEqual([0, Number.NaN, 0, 0]);
    expect(standardise()([1e-200, 2e-200])).toEqual([0, 0]);
    expect(standardise()([1, Number.NaN, 3])).toEqual([-1, Number.NaN, 1]);
    expect(byRank()([5, 1, 5, 9])).toEqual([0.5, 0, 0.5, 1]);
    expect(() => unitRange(1, 1)).toThrow('different finite numbers');
  });
});

describe('multiScore', () => {
  it('keeps raw scores in the details and adds normalised ones', async () => {
    const scorer = multiScore([
      { scorer: byPrompt('first', { a: 1, b: 3 }), weight: 2, normalise: standardise() },
      { scorer: byPrompt('second', { a: 10, b: 20 }), weight: 0.5 },
    ]);
    const { scores, details } = await scorer.score(files(2), ['a', 'b'], nothing(2));
    expect(scores).toEqual([3, 12]);
    expect(details).toEqual({
      part: [1, 3],
      first: [1, 3],
      'first.normalised': [-1, 1],
      'second.part': [10, 20],
      second: [10, 20],
      avg: [3, 12],
    });
  });

  it('aborts the others when one fails', async () => {
    let reason: unknown;
    const slow: Scorer = {
      name: 'slow',
      score: (_, __, ___, options) =>
        new Promise((_resolve, reject) => {
          options?.signal?.addEventListener('abort', () => {
            reason = options.signal?.reason;
            reject(reason);
          });
        }),
    };
    const scorer = multiScore([{ scorer: slow }, { scorer: byPrompt('strict', {}) }]);
    await expect(scorer.score(files(1), ['x'], nothing(1))).rejects.toThrow('no score for x');
    expect(reason).toBeInstanceOf(Error);
  });

  it('refuses equal names and answers of another length', async () => {
    const one = byPrompt('one', { a: 1 });
    expect(() => multiScore([{ scorer: one }, { scorer: one }])).toThrow('the name one is taken');
    const short: Scorer = { name: 'short', score: async () => ({ scores: [1], details: {} }) };
    await expect(multiScore([{ scorer: short }]).score(files(2), ['a', 'b'], nothing(2))).rejects.toThrow(
      'short: 1 scores for 2 images',
    );
  });
});

describe('groupwise', () => {
  it('hands over whole groups and puts scores back in order', async () => {
    const images = tf.tensor4d(
      [1, 2, 3, 4].flatMap((v) => [v, v, v]),
      [4, 1, 1, 3],
    );
    const before = tf.memory().numTensors;
    const spread = groupwise('spread', async ({ images: group, rows }) => {
      const values = Array.isArray(group) ? [] : await group.data();
      return rows.map((_, i) => values[3 * i]! * 10 + rows.length);
    });
    const { scores } = await spread.score(images, ['a', 'b', 'a', 'a'], nothing(4));
    expect(scores).toEqual([13, 21, 33, 43]);
    expect(tf.memory().numTensors).toBe(before);
    images.dispose();
  });
});

describe('withFailureRule', () => {
  const flaky = (failures: number): Scorer => {
    let left = failures;
    return {
      name: 'flaky',
      async score(_, prompts) {
        if (left-- > 0) throw new TypeError('down');
        return { scores: prompts.map(() => 1), details: {} };
      },
    };
  };

  it('tries again, and stops when that is not enough', async () => {
    const told: string[] = [];
    const rule = { retries: 2, pause: 1, onFailure: (error: Error) => void told.push(error.message) };
    expect((await withFailureRule(flaky(2), rule).score(files(1), ['a'], [{}])).scores).toEqual([1]);
    await expect(withFailureRule(flaky(3), rule).score(files(1), ['a'], [{}])).rejects.toThrow('down');
    expect(told).toEqual(['down', 'down', 'down', 'down', 'down']);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'takes a score of %d for a failure: tries again, then stops or drops its group alone',
    async (bad) => {
      let calls = 0;
      const mends = (after: number): Scorer => ({
        name: 'mends',
        score: async (_, prompts) => ({
          scores: prompts.map((prompt) => (prompt === 'b' && calls < after ? bad : 1)),
          details: { calls: prompts.map(() => ++calls) },
        }),
      });
      const rule = { retries: 1, pause: 1 };
      const ask = (scorer: Scorer) => scorer.score(files(3), ['a', 'b', 'a'], nothing(3));
      expect((await ask(withFailureRule(mends(3), rule))).scores).toEqual([1, 1, 1]);
      calls = 0;
      await expect(ask(withFailureRule(mends(99), rule))).rejects.toThrow(`mends: image 1 scores ${bad}`);
      calls = 0;
      const dropped = await ask(withFailureRule(mends(99), { ...rule, action: 'drop' }));
      expect(dropped.scores).toEqual([1, Number.NaN, 1]);
      expect(dropped.details.dropped).toEqual([0, 1, 0]);
    },
  );

  it('takes the wrong number of scores or details for a failure', async () => {
    const short: Scorer = { name: 'short', score: async () => ({ scores: [1, 1], details: { part: [1] } }) };
    await expect(
      withFailureRule(short, { retries: 0 }).score(files(2), ['a', 'b'], nothing(2)),
    ).rejects.toThrow('short: 1 part for 2 images');
  });

  it('drops the groups that fail and keeps the others', async () => {
    const scorer = withFailureRule(byPrompt('table', { a: 1, c: 3, d: Number.NaN }), {
      retries: 0,
      action: 'drop',
    });
    const { scores, details } = await scorer.score(files(5), ['a', 'b', 'c', 'a', 'd'], nothing(5));
    expect(scores).toEqual([1, Number.NaN, 3, 1, Number.NaN]);
    expect(details.dropped).toEqual([0, 1, 0, 0, 1]);
    expect(details.part).toEqual([1, Number.NaN, 3, 1, Number.NaN]);
  });

  it('passes an abort on at once', async () => {
    const stop = new AbortController();
    stop.abort(new Error('enough'));
    const scorer = withFailureRule(flaky(9), { action: 'drop', pause: 1 });
    await expect(scorer.score(files(1), ['a'], [{}], { signal: stop.signal })).rejects.toThrow('enough');
  });
});
