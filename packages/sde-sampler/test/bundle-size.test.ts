import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, it } from 'vitest';

const index = fileURLToPath(new URL('../src/index.ts', import.meta.url));

/** Minified and gzipped size of what a bundler keeps of `imports`, tfjs-core not counted. */
async function size(imports: string): Promise<number> {
  const { outputFiles } = await build({
    stdin: { contents: `${imports} from ${JSON.stringify(index)};`, resolveDir: '.', loader: 'ts' },
    bundle: true,
    minify: true,
    format: 'esm',
    external: ['@tensorflow/tfjs-core'],
    write: false,
  });
  return gzipSync(outputFiles[0]!.contents, { level: 9 }).length;
}

it('everything exported is under 12 kB', async () => {
  expect(await size('export *')).toBeLessThan(12_000);
});

it('unused parts are shaken off: a lone step is under half of everything', async () => {
  expect(await size('export { sdeStep, logProbOf }')).toBeLessThan((await size('export *')) / 2);
});
