// Bundles a page's application for browsers, with the components and the style it imports.
import { build } from 'esbuild';

/** The script and the style sheet of the page whose first module is `entry`, each as one text. */
export async function bundlePage(entry) {
  const { outputFiles } = await build({
    entryPoints: [entry],
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
