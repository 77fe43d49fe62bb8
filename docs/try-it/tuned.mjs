// Writes what a run of the quickstart changed into docs/try-it/tuned.safetensors, one byte per weight (2.5 MB, as all
// weights train), from the run's folder:
//   npm run quickstart
//   node docs/try-it/tuned.mjs runs/quickstart
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { TUNED } from './build.mjs';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

/** The functions of delta.ts and safetensors.ts. */
async function load() {
  const { outputFiles } = await build({
    stdin: {
      contents: "export * from './delta'; export * from './safetensors';",
      resolveDir: path('.'),
    },
    bundle: true,
    format: 'esm',
    write: false,
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

/** More would make the page slow to open. */
const MOST_BYTES = 4e6;

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error('node docs/try-it/tuned.mjs FOLDER: the folder of a run of the quickstart');
  process.exit(2);
}
const { encodeDelta, parseSafetensors } = await load();
const weights = (file) => {
  const bytes = readFileSync(file);
  return parseSafetensors(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
};
const start = weights(path('../../examples/quickstart/assets/model.safetensors'));
const delta = encodeDelta(start, weights(join(folder, 'tuned/model.safetensors')));
if (delta.length > MOST_BYTES) {
  console.error(`the difference takes ${delta.length} bytes; a page may have ${MOST_BYTES}`);
  process.exit(1);
}
writeFileSync(TUNED, delta);
console.log(`${TUNED}, ${(delta.length / 1e6).toFixed(1)} MB`);
