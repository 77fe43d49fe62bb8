/** Programs of this repository as processes of their own, built from the sources under test. */
import { mkdirSync, mkdtempSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const GRADIENTS = fileURLToPath(
  new URL('../../../node_modules/.cache/flow-grpo/gradients-4.22.0.mjs', import.meta.url),
);

/** A new folder within a package or example, where a bundle finds what that depends on. */
export function bundleFolder(workspace: string): string {
  const cache = join(workspace, 'node_modules', '.cache');
  mkdirSync(cache, { recursive: true });
  return mkdtempSync(join(cache, 'bundle-'));
}

/** Bundles `entry` with this repository's sources, and nothing else, into `outfile`. */
export async function bundleSources(entry: string, outfile: string): Promise<void> {
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    logLevel: 'error',
    conditions: ['@flow-grpo/source'],
    alias: { '@tensorflow/tfjs-core/dist/register_all_gradients': GRADIENTS },
    plugins: [
      {
        name: 'sources of this repository only',
        setup: ({ onResolve }) =>
          onResolve({ filter: /^[^./]/ }, ({ path }) =>
            path === resolve(entry) ||
            path.startsWith('@flow-grpo/') ||
            path.includes('register_all_gradients')
              ? undefined
              : { path, external: true },
          ),
      },
    ],
  });
}
