import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { defineConfig } from 'vitest/config';

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

/** `npm run test:long`: series, soaks and kills (`*.long.test.ts`), and the suites of XLA compiled as users compile. */
const long = process.env.FLOW_GRPO_TESTS === 'long';
const suites = long ? ['*.long.test.ts', '*.xla.test.ts', '*.xla.parity.test.ts'] : ['*.test.ts'];

/** The Vitest project of a package; `more` overrides its `test` options. */
export const project = (name: string, more: Record<string, unknown> = {}) =>
  defineConfig({
    resolve: {
      conditions,
      alias: { '@tensorflow/tfjs-core/dist/register_all_gradients': gradients },
    },
    ssr: { resolve: { conditions } },
    test: {
      name,
      include: ['src', 'test'].flatMap((folder) => suites.map((suite) => `${folder}/**/${suite}`)),
      exclude: long ? [] : ['**/*.long.test.ts'],
      // A limit ends what hangs, and says nothing of speed: machines are busy, and some are slow.
      testTimeout: 600_000,
      hookTimeout: 600_000,
      setupFiles: [path('./tests/support/src/setup.ts')],
      ...more,
    },
  });
