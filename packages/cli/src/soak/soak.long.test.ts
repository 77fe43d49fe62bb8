import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { mebibytes, type SoakResult, soak } from './soak.testing';

/** `npm run soak -- --hours 6` in the repository: so many hours' worth of epochs. */
const hours = Number(process.env.FLOW_GRPO_SOAK_HOURS || 0);
/** Seconds between kills of such a run. */
const killSeconds = Number(process.env.FLOW_GRPO_SOAK_KILL_SECONDS || 180);

async function run(epochs: number, killEvery: number): Promise<SoakResult> {
  const folder = await mkdtemp(join(tmpdir(), 'soak-'));
  try {
    const onMessage = hours > 0 ? (message: string) => console.log(message) : () => undefined;
    return await soak({ folder, epochs, killEvery, onMessage });
  } finally {
    await rm(folder, { recursive: true });
  }
}

it('a run with failing rewards, kills and a full disk ends with the bits of one without', {
  timeout: 2 ** 31 - 1,
}, async () => {
  let epochs = 200;
  let killEvery = 20;
  if (hours > 0) {
    const { secondsPerEpoch } = await run(200, 50);
    epochs = Math.round((3600 * hours) / secondsPerEpoch);
    killEvery = Math.max(10, Math.round(killSeconds / secondsPerEpoch));
  }
  const { kills, full, calls, failedCalls, memory, differences } = await run(epochs, killEvery);
  console.log(
    `${epochs} epochs: ${kills} kills, ${full} full disk, ${failedCalls} of ${calls} calls failed, memory ${mebibytes(memory.early)} → ${mebibytes(memory.late)}`,
  );
  expect(differences).toEqual([]);
  expect(full).toBe(1);
  expect(kills).toBeGreaterThan(0);
  expect(failedCalls).toBeGreaterThan(0);
  // Of few epochs it says nothing: heaps grow until they are collected.
  if (hours > 0) expect(memory.late).toBeLessThan(1.05 * memory.early + 2 ** 24);
});
