// Runs the site's TypeScript generators: bundles them with the workspace's sources, leaves npm's packages to Node.
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

/** The exports of `docs/generate/main.ts`. */
export async function loadGenerators() {
  const outfile = path('../../node_modules/.cache/flow-grpo/docs-generate.mjs');
  await build({
    entryPoints: [path('../generate/main.ts')],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    conditions: ['@flow-grpo/source'],
    plugins: [
      {
        name: 'npm packages stay outside',
        setup: ({ onResolve }) =>
          onResolve({ filter: /^[^./]/ }, ({ path: name, kind }) =>
            kind === 'entry-point' || name.startsWith('@flow-grpo/')
              ? undefined
              : { path: name, external: true },
          ),
      },
    ],
    logLevel: 'error',
  });
  return import(`${pathToFileURL(outfile).href}?${Date.now()}`);
}
