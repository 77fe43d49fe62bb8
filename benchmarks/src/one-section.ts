/** A section in a process of its own. */
import { startDevice } from './device';
import { SECTIONS } from './sections/index';
import { firstRollout } from './sections/startup';
import type { Workload } from './workload';

/**
 * Runs a section and ends the process: device memory goes with it.
 *
 * @param folder of a checkpoint, for the start that the section `startup` measures from outside.
 */
export async function runSection(name: string, workload: Workload, folder?: string): Promise<never> {
  if (name === 'firstRollout' && folder !== undefined) {
    await firstRollout(workload, folder);
    process.exit(0);
  }
  const section = SECTIONS[name];
  if (!section)
    throw new Error(`There is no section '${name}'; there are ${Object.keys(SECTIONS).join(', ')}`);
  await startDevice(section.devices);
  await section.run(workload);
  process.exit(0);
}
