import { defineConfig, type Options } from 'tsup';

/** The build of every package: ES modules and source maps from the given entries; scripts/declarations.mjs adds the types. */
export const library = (entry: string[] | Record<string, string>, more: Options = {}) =>
  defineConfig({
    entry,
    format: ['esm'],
    target: 'node20',
    sourcemap: true,
    clean: true,
    tsconfig: '../../tsconfig.build.json',
    ...more,
  });
