import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { growthOf } from './memory.testing';
import { isSoakRecipe, SOAK_RECIPES, type SoakRecipeName } from './recipes.testing';
import { type SoakResult, soak } from './soak.testing';

/** `npm run soak` in the repository says how much: so many epochs, or so many hours' worth of them. */
const { FLOW_GRPO_SOAK_EPOCHS, FLOW_GRPO_SOAK_HOURS, FLOW_GRPO_SOAK_KILL, FLOW_GRPO_SOAK_RECIPES } =
  process.env;
const asked = { epochs: Number(FLOW_GRPO_SOAK_EPOCHS || 0), hours: Number(FLOW_GRPO_SOAK_HOURS || 0) };
const isSoak = asked.epochs > 0 || asked.hours > 0;
const recipes = (FLOW_GRPO_SOAK_RECIPES?.split(',') ?? Object.keys(SOAK_RECIPES)).filter(isSoakRecipe);

async function run(recipe: SoakRecipeName, epochs: number, killEvery: number): Promise<SoakResult> {
  const folder = await mkdtemp(join(tmpdir(), 'soak-'));
  try {
    const onMessage = isSoak ? (message: string) => console.log(message) : () => undefined;
    return await soak({ recipe, folder, epochs, killEvery, onMessage });
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** How long, and how often killed. Without being asked, as long as a test may be. */
async function lengthOf(recipe: SoakRecipeName): Promise<{ epochs: number; killEvery: number }> {
  if (!isSoak) return { toy: { epochs: 100, killEvery: 25 }, tiny: { epochs: 16, killEvery: 8 } }[recipe];
  if (asked.epochs > 0) return { epochs: asked.epochs, killEvery: Number(FLOW_GRPO_SOAK_KILL || 20) };
  const { secondsPerEpoch } = await run(recipe, 200, 50);
  const killEvery = Math.round(Number(FLOW_GRPO_SOAK_KILL || 180) / secondsPerEpoch);
  return {
    epochs: Math.round((3600 * asked.hours) / secondsPerEpoch),
    killEvery: Math.max(10, killEvery),
  };
}

it.each(recipes)(
  '%s: a run with failing rewards, kills and a full disk ends with the bits of one without',
  {
    timeout: 2 ** 31 - 1,
  },
  async (recipe) => {
    const { epochs, killEvery } = await lengthOf(recipe);
    const { kills, full, calls, failedCalls, memory, differences } = await run(recipe, epochs, killEvery);
    console.log(
      `${recipe}, ${epochs} epochs: ${kills} kills, ${full} full disk, ${failedCalls} of ${calls} calls failed, ${memory.text}`,
    );
    expect(differences).toEqual([]);
    expect(full).toBe(1);
    expect(kills).toBeGreaterThan(0);
    expect(failedCalls).toBeGreaterThan(0);
    expect(memory.late.tensors).toBeLessThanOrEqual(memory.early.tensors);
    // Of few epochs the bytes say nothing: caches still fill.
    if (isSoak) expect(growthOf(memory, epochs)).toEqual([]);
  },
);
