/** Programs of tests as files that plain Node runs. */
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

/** Bundles TypeScript whose imports are relative to this package, such as './src/index', into `outfile`. */
export function bundleText(contents: string, outfile: string): void {
  buildSync({
    stdin: { contents, resolveDir: fileURLToPath(new URL('..', import.meta.url)), loader: 'ts' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['koffi'],
    outfile,
    logLevel: 'error',
  });
}
