/** Programs of this repository as processes of their own, built from the sources under test. */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type Plugin } from 'esbuild';

export { copyThreads } from '../../../packages/pjrt/copy-threads.mjs';

/** A module that vitest.base.ts makes of tfjs. */
const made = (name: string) =>
  fileURLToPath(new URL(`../../../node_modules/.cache/flow-grpo/${name}-4.22.0.mjs`, import.meta.url));

const GRADIENTS = made('gradients');

/** A new folder within a package or example, where a bundle finds what that depends on. */
export function bundleFolder(workspace: string): string {
  const cache = join(workspace, 'node_modules', '.cache');
  mkdirSync(cache, { recursive: true });
  return mkdtempSync(join(cache, 'bundle-'));
}

/**
 * A program of a package as one file that plain Node runs. It lies in the package's own node_modules, so that what stays
 * outside is found in the versions it declares.
 *
 * @param entry absolute path of a TypeScript file; the program is called `<its name>.mjs`.
 */
export async function bundleProgram(entry: string): Promise<string> {
  let workspace = dirname(entry);
  while (!existsSync(join(workspace, 'package.json'))) workspace = dirname(workspace);
  const outfile = join(workspace, 'node_modules/.cache/testing', `${basename(entry, '.ts')}.mjs`);
  await bundleSources(entry, outfile);
  return outfile;
}

/**
 * Bundles `entry` with this repository's sources, and nothing else, into `outfile`, which is whole at any time: test files
 * that run side by side bundle the same programs.
 */
export async function bundleSources(entry: string, outfile: string): Promise<void> {
  const { outputFiles } = await build({ ...bundleOptions(entry), outfile, write: false });
  mkdirSync(dirname(outfile), { recursive: true });
  const written = `${outfile}.${randomUUID()}`;
  writeFileSync(written, outputFiles[0]!.contents);
  renameSync(written, outfile);
}

/** How programs are bundled, but for where they go. */
export const bundleOptions = (entry: string) =>
  ({
    entryPoints: [entry],
    bundle: true,
    format: 'esm',
    platform: 'node',
    logLevel: 'error',
    conditions: ['@flow-grpo/source'],
    alias: { '@tensorflow/tfjs-core/dist/register_all_gradients': GRADIENTS },
    plugins: [
      {
        name: 'sources of this repository only',
        setup: ({ onResolve }) => {
          // tfjs, without the time that Node takes to find its exports.
          onResolve({ filter: /^@tensorflow\/(tfjs-core|tfjs-backend-cpu)$/ }, ({ path }) => ({
            path: made(basename(path)),
            external: true,
          }));
          onResolve({ filter: /^[^./]/ }, ({ path }) =>
            path === resolve(entry) ||
            /^(@flow-grpo\/|flow-grpo$|flow-grpo\/)/.test(path) ||
            path.includes('register_all_gradients')
              ? undefined
              : { path, external: true },
          );
        },
      } as Plugin,
    ],
  }) satisfies BuildOptions;
