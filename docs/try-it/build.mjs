// Builds the page: node docs/try-it/build.mjs [folder, default dist beside this file].
import { copyFileSync, cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleForBrowsers } from '../site/browser-bundle.mjs';
import { pageText } from '../site/page.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const assets = fileURLToPath(new URL('../../examples/quickstart/assets/', import.meta.url));

/** What training changed, as tuned.mjs writes it. */
export const TUNED = join(here, 'tuned.safetensors');

/** Whether there is a tuned model to show. */
export const hasTuned = () => existsSync(TUNED);

/** Writes the page with the model's files and the tuned weights of `tuned` into `folder`, and returns the page's path. */
export async function buildTryPage(folder = join(here, 'dist'), tuned = TUNED) {
  await bundleForBrowsers([join(here, 'main.ts'), join(here, 'worker.ts')], folder);
  writeFileSync(join(folder, 'index.html'), pageText(join(here, 'index.html')));
  cpSync(assets, join(folder, 'model'), { recursive: true });
  copyFileSync(tuned, join(folder, 'model/tuned.safetensors'));
  const wasm = dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json'));
  mkdirSync(join(folder, 'wasm'), { recursive: true });
  // Threads need headers that hosts of static pages do not send.
  for (const name of ['tfjs-backend-wasm.wasm', 'tfjs-backend-wasm-simd.wasm']) {
    copyFileSync(join(wasm, 'wasm-out', name), join(folder, 'wasm', name));
  }
  return join(folder, 'index.html');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await buildTryPage(process.argv[2]));
