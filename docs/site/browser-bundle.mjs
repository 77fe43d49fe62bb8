// Bundles of the pages that run the workspace's sources, and tfjs, in a browser.
import { build } from 'esbuild';

/** Writes a script (and a style sheet, where it imports one) for each entry into `folder`. */
export async function bundleForBrowsers(entryPoints, folder) {
  await build({
    entryPoints,
    outdir: folder,
    bundle: true,
    minify: true,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    conditions: ['@flow-grpo/source'],
    mainFields: ['module', 'main'], // one tfjs-core: the modules that its gradients import
    ignoreAnnotations: true, // gradients are side effects of files that claim to have none
    // tfjs carries a fetch for Node that no browser reaches.
    external: ['node-fetch', 'util', 'fs', 'path', 'os', 'crypto', 'worker_threads', 'perf_hooks'],
    logLevel: 'error',
  });
}
