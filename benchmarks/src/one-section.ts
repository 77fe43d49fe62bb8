/** A section, or a part of one, in a process of its own. */
import { startDevice } from './device';
import { hostsAllReduce, hostsStart } from './sections/hosts';
import { SECTIONS } from './sections/index';
import { recipeFiles, recipeRun } from './sections/recipe-run';
import { roundingFiles, roundingNumbers } from './sections/rounding';
import { firstRollout, startupFiles } from './sections/startup';
import { zImageFiles } from './sections/z-image';
import type { Workload } from './workload';

/** What sections start by themselves; each starts the device as it needs it. */
const PARTS: Readonly<
  Record<string, (workload: Workload, folder: string, argument: string) => Promise<void>>
> = {
  startupFiles,
  firstRollout,
  recipeFiles,
  recipeRun,
  hostsStart,
  hostsAllReduce,
  roundingFiles,
  roundingNumbers,
  zImageFiles,
};

/**
 * Runs a section and ends the process: device memory goes with it.
 *
 * @param folder of a part of a section, which finds or leaves its files there.
 */
export async function runSection(name: string, workload: Workload, folder?: string): Promise<never> {
  const [part = '', argument = ''] = name.split(':');
  if (folder !== undefined && PARTS[part]) {
    await PARTS[part](workload, folder, argument);
    process.exit(0);
  }
  const section = SECTIONS[name];
  if (!section)
    throw new Error(`There is no section '${name}'; there are ${Object.keys(SECTIONS).join(', ')}`);
  if (section.devices !== 0) await startDevice(section.devices);
  await section.run(workload);
  process.exit(0);
}
