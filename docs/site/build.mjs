// Builds the site into docs/.vitepress/dist, or serves it while you write (--dev).
import { fileURLToPath } from 'node:url';
import { build, createServer } from 'vitepress';
import { buildDemo } from '../sampler-demo/build.mjs';
import { writeApi } from './api.mjs';
import { loadGenerators } from './bundle.mjs';

const docs = fileURLToPath(new URL('..', import.meta.url));

const { generate } = await loadGenerators();
await generate(docs);
await buildDemo(`${docs}public/sampler-demo`);
await writeApi(`${docs}api`);
if (process.argv.includes('--dev')) {
  const server = await createServer(docs);
  await server.listen();
  server.printUrls();
} else {
  await build(docs);
}
