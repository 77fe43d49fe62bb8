// Runs the site's TypeScript programs: bundles them with the workspace's sources, leaves npm's packages and scripts to Node.
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

/** The exports of `docs/generate/main.ts`. */
export const loadGenerators = () => loadSources('../generate/main.ts', 'docs-generate');

/** The exports of `docs/screenshots/main.ts`. */
export const loadScreenshots = () => loadSources('../screenshots/main.ts', 'docs-screenshots');

async function loadSources(entry, name) {
  const outfile = path(`../../node_modules/.cache/flow-grpo/${name}.mjs`);
  await build({
    entryPoints: [path(entry)],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    conditions: ['@flow-grpo/source'],
    plugins: [
      {
        name: 'npm packages and scripts stay outside',
        setup: ({ onResolve }) => {
          onResolve({ filter: /^[^./]/ }, ({ path: wanted, kind }) =>
            kind === 'entry-point' || /^(@flow-grpo\/|flow-grpo$)/.test(wanted)
              ? undefined
              : { path: wanted, external: true },
          );
          // They find their files by their own address.
          onResolve({ filter: /^\..*\.mjs$/ }, ({ path: script, resolveDir }) => ({
            path: pathToFileURL(resolve(resolveDir, script)).href,
            external: true,
          }));
        },
      },
    ],
    logLevel: 'error',
  });
  return import(`${pathToFileURL(outfile).href}?${Date.now()}`);
}
