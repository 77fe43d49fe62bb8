/** Bundles tfjs-core's specs, and this backend from its sources, for plain Node. */
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const CORE = '@tensorflow/tfjs-core/dist';

/** The order matters: specs are defined while `tests` loads, for the environments known by then. */
const suite = `
  require('${CORE}/public/chained_ops/register_all_chained_ops');
  require('${CORE}/register_all_gradients');
  require('${CORE}/jasmine_util').setTestEnvs([{ name: 'xla', backendName: 'xla', isDataSync: true }]);
  require('${CORE}/tests');
`;

/** Writes both bundles into a folder and gives their paths. */
export async function bundle(folder) {
  mkdirSync(folder, { recursive: true });
  const shared = { bundle: true, platform: 'node', logLevel: 'error', absWorkingDir: here };
  const [specs, backend] = [`${folder}/specs.cjs`, `${folder}/backend.mjs`];
  await Promise.all([
    build({
      ...shared,
      stdin: { contents: suite, resolveDir: here },
      outfile: specs,
      format: 'cjs',
      mainFields: ['main'],
      ignoreAnnotations: true,
      external: ['jasmine-core'],
    }),
    build({
      ...shared,
      entryPoints: [fileURLToPath(new URL('../src/index.ts', import.meta.url))],
      outfile: backend,
      format: 'esm',
      conditions: ['@flow-grpo/source'],
      // koffi loads a native file beside itself; tfjs-core keeps its state in globals, so two copies agree.
      external: ['koffi', '@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-cpu', 'jasmine-core'],
      alias: { '@tensorflow/tfjs-core/dist/register_all_gradients': `${here}empty.mjs` },
    }),
  ]);
  return { specs, backend };
}
