/**
 * `node benchmarks/bundle.mjs [--portable]`: the benchmarks as one program, benchmarks/.bundle/bench.mjs, with the quickstart,
 * its setup for `flow-grpo compare`, and the command beside it. With --portable also what a machine without Node and npm needs:
 * node.xz, and koffi and sharp for Linux x86-64.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { buildPage } from '../packages/cli/build-page.mjs';
import { copyThreads } from '../packages/pjrt/copy-threads.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values: options } = parseArgs({ options: { portable: { type: 'boolean', default: false } } });
const out = join(root, 'benchmarks', '.bundle');
mkdirSync(out, { recursive: true });
for (const file of readdirSync(out)) if (file.endsWith('.mjs')) rmSync(join(out, file)); // parts have other names each time

/** Native packages of parts that are not measured: imported by their neighbours, an error when used. */
const absent = {
  name: 'absent',
  setup(build) {
    build.onResolve({ filter: /^(onnxruntime-node|@gutenye\/ocr-node)$/ }, ({ path }) => ({
      path,
      namespace: 'absent',
    }));
    build.onLoad({ filter: /.*/, namespace: 'absent' }, ({ path }) => ({
      contents: `export default function absent() { throw new Error("${path} is not part of the benchmarks' bundle"); }`,
    }));
  },
};

await build({
  entryPoints: {
    bench: join(root, 'benchmarks/src/main.ts'),
    quickstart: join(root, 'examples/quickstart/src/main.ts'),
    'quickstart-setup': join(root, 'examples/quickstart/src/setup.ts'),
    'flow-grpo': join(root, 'packages/cli/src/bin.ts'),
  },
  outdir: out,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  splitting: true, // the command and the setup that it loads share one tfjs-core
  platform: 'node',
  target: 'node20',
  format: 'esm',
  conditions: ['@flow-grpo/source'],
  mainFields: ['module', 'main'], // one tfjs-core: the modules that its gradients import
  external: ['koffi', 'sharp'],
  plugins: [absent],
  minify: true,
  lineLimit: 120, // Node prints the line an error comes from
  keepNames: true,
  ignoreAnnotations: true, // tfjs-core's gradients are side effects of files that claim to have none
  logLevel: 'warning',
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
});

copyThreads(out);

// The page of a run, beside the program as in the published package.
const { script, style } = await buildPage();
mkdirSync(join(out, 'page'), { recursive: true });
writeFileSync(join(out, 'page', 'app.js'), script);
writeFileSync(join(out, 'page', 'style.css'), style);

if (options.portable) {
  if (!existsSync(join(out, 'node.xz'))) {
    execFileSync('sh', ['-c', `xz -T0 -9 -c '${process.execPath}' > '${join(out, 'node.xz')}'`]);
  }
  const modules = join(out, 'node_modules');
  rmSync(modules, { recursive: true, force: true });
  const copy = (name, filter = () => true) =>
    cpSync(join(root, 'node_modules', name), join(modules, name), {
      recursive: true,
      dereference: true,
      filter,
    });
  copy('koffi', (path) => !/\.(cc|hh|inc|md|S|asm)$/.test(path));
  copy(join('@koromix', 'koffi-linux-x64'), (path) => !path.includes('musl'));
  for (const name of ['sharp', 'detect-libc', 'semver']) copy(name);
  for (const name of ['colour', 'sharp-linux-x64', 'sharp-libvips-linux-x64']) copy(join('@img', name));
  const size = execFileSync('du', ['-sh', out], { encoding: 'utf8' }).split('\t')[0];
  console.log(`${out}: ${size}`);
}
