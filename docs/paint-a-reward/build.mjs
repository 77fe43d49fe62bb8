// Builds the page: node docs/paint-a-reward/build.mjs [folder, default dist beside this file].
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleForBrowsers } from '../site/browser-bundle.mjs';
import { pageText } from '../site/page.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));

/** Writes index.html, main.js, main.css and worker.js into `folder`, and returns the page's path. */
export async function buildPaintPage(folder = join(here, 'dist')) {
  await bundleForBrowsers([join(here, 'main.ts'), join(here, 'worker.ts')], folder);
  writeFileSync(join(folder, 'index.html'), pageText(join(here, 'index.html')));
  return join(folder, 'index.html');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await buildPaintPage(process.argv[2]));
