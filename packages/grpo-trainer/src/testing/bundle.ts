/** For tests: a program of this package as one file that plain Node runs. */
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleSources } from '@flow-grpo/test-support/bundle';

/** @param entry absolute path of a TypeScript file; the program is called `<its name>.mjs`. */
export async function bundleProgram(entry: string): Promise<string> {
  // In the package's own node_modules, so that what stays outside is found in the versions it declares.
  const folder = fileURLToPath(new URL('../../node_modules/.cache/testing', import.meta.url));
  const outfile = join(folder, `${basename(entry, '.ts')}.mjs`);
  await bundleSources(entry, outfile);
  return outfile;
}
