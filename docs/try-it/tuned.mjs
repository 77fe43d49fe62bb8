// Writes what a run of the quickstart changed into docs/try-it/tuned.safetensors, a byte per weight:
//   npm run quickstart -- --out runs/quickstart
//   node docs/try-it/tuned.mjs runs/quickstart/tuned
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

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error('node docs/try-it/tuned.mjs FOLDER: the tuned/ folder of a run of the quickstart');
  process.exit(2);
}
const { encodeDelta, parseSafetensors } = await load();
const weights = (file) => {
  const bytes = readFileSync(file);
  return parseSafetensors(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
};
const start = weights(path('../../examples/quickstart/assets/model.safetensors'));
writeFileSync(TUNED, encodeDelta(start, weights(join(folder, 'model.safetensors'))));
console.log(TUNED);
