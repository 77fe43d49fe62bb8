// Builds the page: node docs/paint-a-reward/build.mjs [folder, default dist beside this file].
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));

/** Writes index.html, main.js, main.css and worker.js into `folder`, and returns the page's path. */
export async function buildPaintPage(folder = join(here, 'dist')) {
  await build({
    entryPoints: [join(here, 'main.ts'), join(here, 'worker.ts')],
    outdir: folder,
    bundle: true,
    minify: true,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    conditions: ['@flow-grpo/source'],
    mainFields: ['module', 'main'], // one tfjs-core: the modules that its gradients import
    ignoreAnnotations: true, // gradients are side effects of files that claim to have none
    // tfjs carries a fetch for Node that no browser reaches.
    external: ['node-fetch', 'util', 'fs', 'path', 'os', 'crypto', 'worker_threads', 'perf_hooks'],
    logLevel: 'error',
  });
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(here, 'index.html'), join(folder, 'index.html'));
  return join(folder, 'index.html');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await buildPaintPage(process.argv[2]));
