// Builds the page into one self-contained file: node docs/sampler-demo/build.mjs [folder, default beside this file].
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { pageText } from '../site/page.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));

/** Writes index.html into `folder` and returns its path. */
export async function buildDemo(folder = join(here, 'dist')) {
  const { outputFiles } = await build({
    entryPoints: [join(here, 'main.ts')],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    conditions: ['@flow-grpo/source'],
    // tfjs carries a fetch for Node that no browser reaches.
    external: ['node-fetch', 'util'],
    logLevel: 'error',
    write: false,
  });
  const script = outputFiles[0].text.replaceAll('</script', '<\\/script');
  const page = pageText(join(here, 'index.html'));
  const tag = '<script type="module" src="./main.ts"></script>';
  if (!page.includes(tag)) throw new Error('index.html has no script tag for main.ts');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'index.html');
  writeFileSync(
    file,
    page.replace(tag, () => `<script type="module">${script}</script>`),
  );
  return file;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = process.argv[2];
  console.log(await buildDemo(folder));
}
