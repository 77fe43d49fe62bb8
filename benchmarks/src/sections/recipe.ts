/** The run file of `examples/pickscore-4gpu` as its script runs it, on all GPUs and on one, with random checkpoints. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runInner } from '../inner';
import { type Measurement, report } from '../reporting';
import { inKeptFolder, inTemporaryFolder, KEPT_FOLDER } from '../temporary';
import { allDevices } from './recipe-run';

/** Every run is a process of its own, as the script is: it has the GPUs' memory to itself, as much as users give it. */
export const recipe = async (): Promise<void> => {
  const work = async () => {
    await recipeOne();
    if (allDevices() === 1) return;
    await recipeAll();
    await recipeResumed();
  };
  if (process.env[KEPT_FOLDER]) return work();
  await inTemporaryFolder((folder) => {
    process.env[KEPT_FOLDER] = folder;
    return work();
  });
};

export const recipeOne = (): Promise<void> => inKeptFolder((folder) => runThenAtRest(folder, 'one'));

/** On all devices, beside the run on one where that is known. */
export const recipeAll = (): Promise<void> =>
  inKeptFolder(async (folder) => {
    await runThenAtRest(folder, 'all');
    const [one, all] = [earlier(folder, 'one'), earlier(folder, 'all')];
    const devices = allDevices();
    if (one)
      report('recipe.efficiency', {
        devices,
        share: Number(all!.imagesPerSecond) / (devices * Number(one.imagesPerSecond)),
      });
  });

export const recipeResumed = (): Promise<void> =>
  inKeptFolder(async (folder) => {
    const runOf = await runner(folder);
    if (!earlier(folder, 'all')) await runOf('all');
    await runOf('resumed');
  });

/** All parameters train, split over all devices. */
export const recipeAllParameters = (): Promise<void> =>
  inKeptFolder(async (folder) => {
    const runOf = await runner(folder);
    for (const variant of ['allParameters', 'allParametersSft']) await runOf(variant);
  });

/** Adapters beside the whole head, on one device: memory and speed. */
export const recipeLora = (): Promise<void> =>
  inKeptFolder(async (folder) => {
    const runOf = await runner(folder);
    for (const variant of ['one', 'lora', 'loraEverywhere']) await runOf(variant);
  });

/** One of the rows of the recipe's table. */
export const recipeVariant = (name: string): Promise<void> =>
  inKeptFolder(async (folder) => {
    const runOf = await runner(folder);
    await runOf(name);
  });

/** A run, and one epoch in another process with its programs compiled and at learning rate 0: one case of both. */
async function runThenAtRest(folder: string, variant: 'one' | 'all'): Promise<void> {
  const runOf = await runner(folder);
  const { engine: _, case: name, ...run } = await runOf(variant);
  const { firstEpochSeconds, ratioAtZeroRate, clipFractionAtZeroRate } = await runOf(`${variant}AtRest`);
  const secondsFirstEpochWarm = Number(firstEpochSeconds) - Number(run.ms) / 1000;
  report(name, { ...run, secondsFirstEpochWarm, ratioAtZeroRate, clipFractionAtZeroRate });
}

/** What a run in this folder measured, if there was one. */
export function earlier(folder: string, variant: string): Measurement | undefined {
  const file = join(folder, `${variant}.json`);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Measurement) : undefined;
}

/** The environment of processes that share compiled programs in a folder. */
export const programsIn = (folder: string) => ({ FLOW_GRPO_XLA_CACHE: join(folder, 'programs') });

/** Makes the files of the recipe's runs, where they are not there. */
export async function filesIn(folder: string): Promise<void> {
  if (existsSync(join(folder, 'prompts.txt'))) return;
  await runInner('recipeFiles', { folder, env: programsIn(folder), limit: 200 });
}

/** Runs a variant on files that it makes first. The first run of each kind compiles all of its programs. */
export async function runner(folder: string): Promise<(variant: string) => Promise<Measurement>> {
  const env = programsIn(folder);
  await filesIn(folder);
  return async (variant) => {
    const [run] = await runInner(`recipeRun:${variant}`, { folder, env, limit: 400 });
    writeFileSync(join(folder, `${variant}.json`), JSON.stringify(run));
    return run!;
  };
}
