import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';
import { expect, it } from 'vitest';

/** Entries that pages use: bundled for browsers, they may import no Node module and no native one, however deep. */
const ENTRIES = [
  '@flow-grpo/grpo-trainer',
  '@flow-grpo/grpo-trainer/config',
  '@flow-grpo/grpo-trainer/maths',
  '@flow-grpo/showo2-model',
  '@flow-grpo/showo2-model/policy',
  '@flow-grpo/z-image-model',
  '@flow-grpo/z-image-model/policy',
  '@flow-grpo/checkpoint-io/tokenizer',
  '@flow-grpo/nn',
  '@flow-grpo/sde-sampler',
  '@flow-grpo/tfjs-jit',
];

/** What of Node is left in a bundle of `entry`, as `module in file`. */
async function nodeImports(entry: string): Promise<string[]> {
  const left: string[] = [];
  const options: BuildOptions = {
    stdin: {
      contents: `export * from '${entry}';`,
      resolveDir: fileURLToPath(new URL('.', import.meta.url)),
    },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    conditions: ['@flow-grpo/source'],
    external: ['@tensorflow/*'],
    logLevel: 'silent',
    plugins: [
      {
        name: 'Node',
        setup: ({ onResolve }) =>
          onResolve({ filter: /^(node:|koffi$|sharp$|fs$|path$|os$|crypto$)/ }, ({ path, importer }) => {
            left.push(`${path} in ${importer}`);
            return { path, external: true };
          }),
      },
    ],
  };
  await build(options);
  return left;
}

it.each(ENTRIES)('%s imports nothing of Node', async (entry) => {
  expect(await nodeImports(entry)).toEqual([]);
});

it('would see it', async () => {
  expect(await nodeImports('@flow-grpo/showo2-model/node')).toContainEqual(expect.stringMatching(/^node:fs/));
});
