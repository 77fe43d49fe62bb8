import { describe, expect, it } from 'vitest';
import type { Measurement } from '../reporting';
import { parseLine } from '../reporting';
import { summary } from '../timing';
import { plot } from './plot';
import { ratios, results } from './results';
import { table } from './table';

const measured = (engine: Measurement['engine'], name: string, ms: number): Measurement => ({
  engine,
  case: name,
  ms,
});
const measurements = [
  measured('ours', 'rollout.step', 100),
  measured('torch', 'rollout.step', 350),
  measured('torch', 'rollout.stepCompiled', 200),
  measured('jax', 'rollout.step', 92),
  measured('ours', 'decode.images', 16),
  measured('torch', 'update.step', 600),
  measured('ours', 'epoch.recipe', 1000),
  measured('torch', 'epoch.recipe', 6000),
];
const facts = {
  date: '2026-01-02T03:04:05Z',
  machine: { gpu: 'A <big> GPU', cpu: '2 × x' },
  workload: 'full',
} as const;
const done = results(facts, measurements, [{ engine: 'jax', section: 'decode', reason: 'out of memory' }]);

it('takes the median and the range', () => {
  expect(summary([3, 1, 2])).toEqual({ ms: 2, msMin: 1, msMax: 3, rounds: 3 });
  expect(summary([4, 1, 2, 3]).ms).toBe(2.5);
  expect(() => summary([])).toThrow(/no round was timed/);
});

it('reads measurements among other output', () => {
  expect(parseLine('{"engine":"jax","case":"matmul.square","ms":1}')).toEqual(
    measured('jax', 'matmul.square', 1),
  );
  for (const line of ['compiling …', '{', '{"engine":"mine","case":"x"}', '{"engine":"jax"}', '[]'])
    expect(parseLine(line)).toBeUndefined();
});

describe('ratios', () => {
  it('compare what both engines did, by the last measurement', () => {
    expect(done.ratios).toEqual({ rollout: 3.5, epoch: 6 });
    expect(done.ratiosToCompiled).toEqual({ rollout: 2 });
    expect(done.ratiosToJax).toEqual({ rollout: 0.92 });
    expect(ratios([...measurements, measured('ours', 'rollout.step', 50)], 'torch').rollout).toBe(7);
  });
});

it('shows engines side by side, and what failed', () => {
  const lines = table(done).split('\n');
  expect(lines.find((line) => line.startsWith('rollout.step'))).toMatch(
    /100\.0 +350\.0 +200\.0 +92\.0 +3\.50 +0\.92$/,
  );
  expect(lines.find((line) => line.startsWith('update.step'))).toMatch(/– +600\.0 +– +– +– +–$/);
  expect(lines.some((line) => line.includes('Compiled'))).toBe(false);
  expect(lines.at(-1)).toBe('jax: decode failed: out of memory');
});

it('draws one group of bars a ratio, with escaped words', () => {
  const svg = plot(done);
  expect(svg.match(/<rect /g)).toHaveLength(1 + 3 + 2); // background, rollout with JAX, epoch without
  expect(svg).toContain('3.5 × flow-grpo');
  expect(svg).toContain('3.8 × JAX');
  expect(svg).toContain('A &lt;big&gt; GPU, 2026-01-02');
  expect(plot(results(facts, [], []))).toContain('no reference was measured');
});
