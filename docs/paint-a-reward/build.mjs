// Builds the page: node docs/paint-a-reward/build.mjs [folder, default dist beside this file].
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleForBrowsers } from '../site/browser-bundle.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));

/** Writes index.html, main.js, main.css and worker.js into `folder`, and returns the page's path. */
export async function buildPaintPage(folder = join(here, 'dist')) {
  await bundleForBrowsers([join(here, 'main.ts'), join(here, 'worker.ts')], folder);
  copyFileSync(join(here, 'index.html'), join(folder, 'index.html'));
  return join(folder, 'index.html');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await buildPaintPage(process.argv[2]));
