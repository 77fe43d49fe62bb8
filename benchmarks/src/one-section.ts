/** A section in a process of its own. */
import { startDevice } from './device';
import { SECTIONS } from './sections/index';
import type { Workload } from './workload';

/** Runs a section and ends the process: device memory goes with it. */
export async function runSection(name: string, workload: Workload): Promise<never> {
  const section = SECTIONS[name];
  if (!section)
    throw new Error(`There is no section '${name}'; there are ${Object.keys(SECTIONS).join(', ')}`);
  await startDevice();
  await section.run(workload);
  process.exit(0);
}
