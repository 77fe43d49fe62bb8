import { expect, it } from 'vitest';
import { growthOf, type Memory, memorySeries } from './memory.testing';

const series = (at: (epoch: number) => Partial<Memory>, looks = 100) =>
  memorySeries(
    Array.from({ length: looks }, (_, i) => ({
      resident: 4e8 + (i < 10 ? i * 1e7 : 1e8),
      heap: 5e7,
      tensors: 40,
      ...at(i),
    })),
  );

it('is flat where what grows is the start, noise, and what is kept of each epoch', () => {
  const flat = [
    series(() => ({})),
    series((i) => ({ resident: 5e8 + 2e7 * Math.sin(i) })),
    series((i) => ({ heap: 5e7 + i * 10_000 })),
  ];
  for (const memory of flat) expect(growthOf(memory, 1000)).toEqual([]);
});

it('sees a tensor, a heap, or memory outside of it that grows', () => {
  expect(
    growthOf(
      series((i) => ({ tensors: 40 + (i > 60 ? 1 : 0) })),
      1000,
    ),
  ).toEqual(['1 tensors more']);
  expect(
    growthOf(
      series((i) => ({ heap: 5e7 + i * 200_000 })),
      1000,
    )[0],
  ).toMatch(/a heap of/);
  expect(
    growthOf(
      series((i) => ({ resident: 4e8 + i * 2_000_000 })),
      1000,
    )[0],
  ).toMatch(/resident/);
});
