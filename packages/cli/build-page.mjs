// The run's page for browsers: bundles src/page/app. The build calls it, and so do tests and other users of the sources.
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** The page's script and style sheet, each as one text. */
export async function buildPage() {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('./src/page/app/main.tsx', import.meta.url))],
    bundle: true,
    minify: true,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'inline',
    logLevel: 'error',
    write: false,
    outdir: 'page',
  });
  const text = (ending) => outputFiles.find(({ path }) => path.endsWith(ending)).text;
  return { script: text('.js'), style: text('.css') };
}
