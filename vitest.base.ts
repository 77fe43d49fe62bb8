import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { defineConfig } from 'vitest/config';
import { sharedProcesses } from './vitest.pool.ts';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** Tests run on sources: packages find each other through the `@flow-grpo/source` export condition. */
const conditions = ['@flow-grpo/source', 'node', 'import', 'module', 'default'];

/**
 * tfjs-core's gradients, bundled once: its files are written for bundlers (imports without extensions), so
 * Node cannot load them, and transforming all of them costs seconds in every test file.
 */
const gradients = path('./node_modules/.cache/flow-grpo/gradients-4.22.0.mjs');
if (!existsSync(gradients)) {
  buildSync({
    entryPoints: [path('./node_modules/@tensorflow/tfjs-core/dist/register_all_gradients.js')],
    outfile: gradients,
    bundle: true,
    format: 'esm',
    platform: 'node',
    logLevel: 'error',
  });
}

const require = createRequire(import.meta.url);

/**
 * An ES module that exports what tfjs's package `name`, CommonJS, exports. Importing the package itself takes Node a
 * third of a second in every test file: it parses a megabyte for the names of exports, which stand here.
 */
function exporting(name: string): string {
  const file = path(
    `./node_modules/.cache/flow-grpo/${name}-${require(`@tensorflow/${name}/package.json`).version}.mjs`,
  );
  if (existsSync(file)) return file;
  const names = Object.keys(require(`@tensorflow/${name}`)).filter((key) => key !== 'default');
  const source = [
    "import { createRequire } from 'node:module';",
    'const $require = createRequire(import.meta.url);',
    `const $module = $require('@tensorflow/${name}');`,
    ...names.map((key) => `export const ${key} = $module.${key};`),
  ];
  // Whole at any time: several runs may begin at once.
  const written = `${file}.${process.pid}`;
  writeFileSync(written, `${source.join('\n')}\n`);
  renameSync(written, file);
  return file;
}

/**
 * `npm run test:long` runs series, soaks and kills (`*.long.test.ts`), and the suites of XLA compiled as users compile;
 * `npm run artefacts` those that need packages of other registries, and Python.
 */
const SUITES: Record<string, string[]> = {
  long: ['*.long.test.ts', '*.xla.test.ts', '*.xla.parity.test.ts'],
  artefacts: ['*.artefacts.test.ts'],
};
const suites = SUITES[process.env.FLOW_GRPO_TESTS ?? ''];

/** The Vitest project of a package, whose tests are in `folders`; `more` overrides its `test` options. */
export const project = (
  name: string,
  folders: readonly string[] = ['src', 'test'],
  more: Record<string, unknown> = {},
) =>
  defineConfig({
    resolve: {
      conditions,
      alias: [
        { find: '@tensorflow/tfjs-core/dist/register_all_gradients', replacement: gradients },
        ...['tfjs-core', 'tfjs-backend-cpu', 'tfjs-backend-wasm'].map((name) => ({
          find: new RegExp(`^@tensorflow/${name}$`),
          replacement: exporting(name),
        })),
      ],
    },
    ssr: { resolve: { conditions } },
    test: {
      name,
      include: folders.flatMap((folder) => (suites ?? ['*.test.ts']).map((suite) => `${folder}/**/${suite}`)),
      exclude: ['**/node_modules/**', ...(suites ? [] : Object.values(SUITES).map(([own]) => `**/${own}`))],
      // A limit ends what hangs, and says nothing of speed: machines are busy, and some are slow.
      testTimeout: 600_000,
      hookTimeout: 600_000,
      setupFiles: [path('./tests/support/src/setup.ts')],
      // tfjs belongs to what each file imports anew.
      server: { deps: { inline: [/\/\.cache\/flow-grpo\//] } },
      ...sharedProcesses,
      ...more,
    },
  });
