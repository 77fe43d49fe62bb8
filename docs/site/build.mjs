// Builds the site into docs/.vitepress/dist (or --out FOLDER), or serves it while you write (--dev). DOCS_BASE is the
// path it will be served under, / by default.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build, createServer } from 'vitepress';
import { buildPaintPage } from '../paint-a-reward/build.mjs';
import { buildDemo } from '../sampler-demo/build.mjs';
import { buildTryPage, hasTuned } from '../try-it/build.mjs';
import { writeApi } from './api.mjs';
import { loadGenerators } from './bundle.mjs';

const { values } = parseArgs({ options: { dev: { type: 'boolean' }, out: { type: 'string' } } });
const docs = fileURLToPath(new URL('..', import.meta.url));

const { generate } = await loadGenerators();
await generate(docs);
await buildDemo(`${docs}public/sampler-demo`);
await buildPaintPage(`${docs}public/paint-a-reward`);
// Without a tuned model there is nothing to compare (try-it/tuned.mjs makes it of a run of the quickstart).
if (hasTuned()) await buildTryPage(`${docs}public/try-it`);
await writeApi(`${docs}api`);
if (values.dev) {
  const server = await createServer(docs);
  await server.listen();
  server.printUrls();
} else {
  await build(docs, { outDir: values.out });
}
