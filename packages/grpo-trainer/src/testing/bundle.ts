/** For tests: a program of this package as one file that plain Node runs. */
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** @param entry absolute path of a TypeScript file; the program is called `<its name>.mjs`. */
export async function bundleProgram(entry: string): Promise<string> {
  const here = fileURLToPath(new URL('../../', import.meta.url));
  const gradients = join(here, '../../node_modules/.cache/flow-grpo/gradients-4.22.0.mjs');
  // In the package's own node_modules, so that what stays outside is found in the versions it declares.
  const outfile = join(here, 'node_modules/.cache/testing', `${basename(entry, '.ts')}.mjs`);
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    conditions: ['@flow-grpo/source'],
    alias: { '@tensorflow/tfjs-core/dist/register_all_gradients': gradients },
    external: [
      '@tensorflow/*',
      '@flow-grpo/rewards',
      '@flow-grpo/datasets',
      '@huggingface/*',
      '@bufbuild/*',
      'commander',
      'koffi',
      'sharp',
      'yauzl',
      'yaml',
      'zod',
    ],
    logLevel: 'error',
  });
  return outfile;
}
