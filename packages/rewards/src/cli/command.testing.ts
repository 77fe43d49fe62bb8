/** The command as a program of its own, built from the sources under test. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleFolder, bundleSources } from '@flow-grpo/test-support/bundle';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** A new folder within the package, where a bundle finds the package's dependencies. */
export const temporaryFolder = () => bundleFolder(path('../..'));

/** Bundles the command into `folder`; gives its path. */
export async function bundleCommand(folder: string): Promise<string> {
  const outfile = join(folder, 'bin.mjs');
  await bundleSources(path('bin.ts'), outfile);
  return outfile;
}
