/** For tests: the script as one file that plain Node runs, built from the repository's sources. */
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** The path of the program; it lies as deep as dist/main.js, from where the script finds its files. */
export async function bundleScript(): Promise<string> {
  const outfile = path('../../.bundle/main.mjs');
  await build({
    entryPoints: [path('../main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    conditions: ['@flow-grpo/source'],
    alias: {
      '@tensorflow/tfjs-core/dist/register_all_gradients': path(
        '../../../../node_modules/.cache/flow-grpo/gradients-4.22.0.mjs',
      ),
    },
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
    logLevel: 'error',
  });
  return outfile;
}
