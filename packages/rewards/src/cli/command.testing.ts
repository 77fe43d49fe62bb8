/** The command as a program of its own, built from the sources under test. */
import { mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** A new folder within the package, where a bundle finds the package's dependencies. */
export function temporaryFolder(): string {
  const cache = path('../../node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  return mkdtempSync(join(cache, 'command-'));
}

/** Bundles the command with this repository's sources, and nothing else, into `folder`; gives its path. */
export async function bundleCommand(folder: string): Promise<string> {
  const outfile = join(folder, 'bin.mjs');
  const gradients = path('../../../../node_modules/.cache/flow-grpo/gradients-4.22.0.mjs');
  await build({
    entryPoints: [path('bin.ts')],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    conditions: ['@flow-grpo/source'],
    alias: { '@tensorflow/tfjs-core/dist/register_all_gradients': gradients },
    plugins: [
      {
        name: 'sources of this repository only',
        setup: ({ onResolve }) =>
          onResolve({ filter: /^[^./]/ }, ({ path: name }) =>
            name.startsWith('@flow-grpo/') || name.includes('register_all_gradients')
              ? undefined
              : { path: name, external: true },
          ),
      },
    ],
  });
  return outfile;
}
