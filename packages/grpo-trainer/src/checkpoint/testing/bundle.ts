/** For tests: a program that trains, as one file that plain Node runs. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

export async function bundleRunner(entry: string): Promise<string> {
  const root = fileURLToPath(new URL('../../../../../', import.meta.url));
  const cache = join(root, 'node_modules/.cache/flow-grpo');
  const outfile = join(cache, 'trainer-run-once.mjs');
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    conditions: ['@flow-grpo/source'],
    alias: { '@tensorflow/tfjs-core/dist/register_all_gradients': join(cache, 'gradients-4.22.0.mjs') },
    external: ['@tensorflow/*', 'koffi', 'sharp', '@huggingface/*', 'yauzl', 'zod', '@bufbuild/*'],
    logLevel: 'error',
  });
  return outfile;
}
