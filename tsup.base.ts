import { defineConfig, type Options } from 'tsup';

/** The build of every package: ES modules, declarations and source maps from the given entries. */
export const library = (entry: string[] | Record<string, string>, more: Options = {}) =>
  defineConfig({
    entry,
    format: ['esm'],
    target: 'node20',
    dts: true,
    sourcemap: true,
    clean: true,
    tsconfig: '../../tsconfig.build.json',
    ...more,
  });
