/**
 * Writes the declarations of the package in the current folder into dist/types, in the folders of its sources: part of
 * `npm run build`. The entries are those of package.json's exports.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = resolve('dist/types');

const { exports } = JSON.parse(readFileSync('package.json', 'utf8'));
const entries = Object.values(exports).flatMap((target) => target['@flow-grpo/source'] ?? []);

rmSync(out, { recursive: true, force: true });
emit(entries.map((entry) => resolve(entry)));
for (const file of readdirSync(out, { recursive: true })) {
  if (!file.endsWith('.d.ts')) continue;
  const path = join(out, file);
  writeFileSync(path, nameFiles(path, withoutSideEffects(readFileSync(path, 'utf8'))));
}

/** TypeScript takes files and a project's options together from a project alone. */
function emit(files) {
  const project = join(out, 'tsconfig.json');
  const compilerOptions = { rootDir: resolve('src'), outDir: out };
  const text = { extends: join(root, 'tsconfig.build.json'), compilerOptions, include: [], files };
  mkdirSync(out, { recursive: true });
  writeFileSync(project, JSON.stringify(text));
  const tsc = join(root, 'node_modules/typescript7/bin/tsc');
  const { status } = spawnSync(process.execPath, [tsc, '-p', project], { stdio: 'inherit' });
  rmSync(project);
  if (status !== 0) process.exit(1);
}

/** Imports for what they do say nothing about types, and name packages that a build includes and nobody installs. */
function withoutSideEffects(text) {
  const rest = text.replace(/^import ['"][^.'"][^'"]*['"];\n/gm, '');
  return /^(im|ex)port /m.test(rest) ? rest : `export {};\n${rest}`;
}

/** Node's resolution wants files where the sources import modules: './a' becomes './a.js' or './a/index.js'. */
function nameFiles(path, text) {
  return text.replace(
    /(\bfrom |\bimport\(|\bimport )(['"])(\.{1,2}(?:\/[^'"]*)?)\2/g,
    (_, before, quote, module) => `${before}${quote}${fileOf(path, module)}${quote}`,
  );
}

function fileOf(path, module) {
  const target = join(dirname(path), module);
  if (/\.(js|mjs|json)$/.test(module)) return module;
  if (existsSync(`${target}.d.ts`)) return `${module}.js`;
  if (existsSync(join(target, 'index.d.ts'))) return `${module.replace(/\/$/, '')}/index.js`;
  throw new Error(`${path} imports ${module}, which has no declarations`);
}
