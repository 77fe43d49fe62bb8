import { expect, it } from 'vitest';
import { latest } from './latest';

it('what is loaded last was asked for last, however long each load takes', async () => {
  let state = 0;
  let shown = -1;
  const pending: (() => void)[] = [];
  const load = latest(async () => {
    const answer = state;
    await new Promise<void>((resolve) => pending.push(resolve));
    shown = answer;
  });
  const all = [load()];
  for (state = 1; state <= 3; state++) all.push(load());
  state = 3;
  expect(pending).toHaveLength(1);
  pending[0]!();
  await expect.poll(() => pending.length).toBe(2);
  pending[1]!();
  await Promise.all(all);
  expect(pending).toHaveLength(2); // calls meanwhile are one
  expect(shown).toBe(3);
});

it('loads again after one that failed', async () => {
  let calls = 0;
  const load = latest(async () => {
    if (++calls === 1) throw new Error('gone');
  });
  await expect(load()).rejects.toThrow('gone');
  await load();
  expect(calls).toBe(2);
});
