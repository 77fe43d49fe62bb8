import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { npmName, packageFolders, packPackages, runCommand, tarballOf } from '@flow-grpo/test-support/packed';
import { transformSync } from 'esbuild';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ASSETS } from '../examples/quickstart/src/small-model';

/** The packages as a stranger gets them: packed, installed into an empty project, their READMEs' examples run. */
const root = fileURLToPath(new URL('..', import.meta.url));
const names = [...packageFolders];
const workplace = mkdtempSync(join(tmpdir(), 'flow-grpo-published-'));
const project = join(workplace, 'project');

/** What running a README's first example must show; `more` is appended to it. */
const EXAMPLES: Record<string, { more?: string; shows: RegExp; prepare?: () => Promise<void> | void }> = {
  'checkpoint-io': { shows: /\[\[1, 1, 1\],\s+\[1, 1, 1\]\][\s\S]*dtype: 'bfloat16'/ },
  cli: { shows: /finished/ },
  create: { shows: /'policy\.ts'/ },
  datasets: { more: 'console.log(images.length, shape);', shows: /393216 \[ 32, 64, 64, 3 \]/ },
  'grpo-trainer': { shows: /(-?[\d.]+(e-\d+)?\s+){20}/ },
  nn: { shows: /Tensor\s+\[\[/ },
  pjrt: { shows: /\[ 2, 4, 6 \]/ },
  rewards: { prepare: drawSign, shows: /ocr: \[ 1 \]/ },
  'sde-sampler': {
    more: `const [again, first] = [await logProb.data(), await run.logProbs[0].data()];
           console.log(again.every((value, i) => value === first[i]));`,
    shows: /true\s*$/,
  },
  'showo2-model': {
    prepare: placeModel,
    more: 'console.log(images.shape);',
    shows: /49\/49\s+\[ 1, 64, 64, 3 \]/,
  },
  'z-image-model': { prepare: placeZImage, shows: /\[ 1, 512, 512, 3 \]/ },
  'tfjs-jit': { shows: /cpu plain (-?[\d.]+)\s+xla compiled \1/ },
  'tfjs-backend-xla': {
    more: 'console.log(Array.from(await w.data(), Math.round));',
    shows: /\[ 1, -2, 3 \]/,
  },
};

beforeAll(async () => {
  await packPackages(workplace);
  const peers = ['@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-cpu', '@gutenye/ocr-node'].map(
    (peer) => `${peer}@${(read(`node_modules/${peer}/package.json`) as { version: string }).version}`,
  );
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
  const packed = names.map((name) => tarballOf(name, workplace));
  await run('npm', ['install', '--prefer-offline', '--ignore-scripts', '--no-audit', ...packed, ...peers]);
});

afterAll(() => rmSync(workplace, { recursive: true, force: true }));

it('has an example of every package', () => {
  expect(Object.keys(EXAMPLES).sort()).toEqual(names.sort());
});

describe.each(names)('%s', (name) => {
  const folder = join(project, 'node_modules', npmName(name));

  it('has its licence, and nothing that only tests need', () => {
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'package.json']));
    expect(files.filter((file) => /\.(test|testing)\.|testing$/.test(file))).toEqual([]);
  });

  it("runs its README's example", async () => {
    const { more = '', shows, prepare } = EXAMPLES[name]!;
    await prepare?.();
    const { language, code } = firstExample(join(folder, 'README.md'));
    const file = `${name}.mjs`;
    writeFileSync(
      join(project, file),
      `${transformSync(code, { loader: language as 'js' | 'ts' }).code}\n${more}\n`,
    );
    expect(await run(process.execPath, [file])).toMatch(shows);
  });
});

it('publishes declarations that the TypeScript examples compile against', async () => {
  const files = names.flatMap((name) => {
    const { language, code } = firstExample(join(project, 'node_modules', npmName(name), 'README.md'));
    if (language !== 'ts') return [];
    writeFileSync(join(project, `${name}.mts`), code);
    return [`${name}.mts`];
  });
  expect(files.length).toBeGreaterThan(0);
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'];
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2022'];
  await run(process.execPath, [tsc, ...options, ...types, ...files]);
});

/** How projects resolve modules: as Node does, for bundlers, and the same of CommonJS projects. */
const RESOLUTIONS: Readonly<Record<string, readonly string[]>> = {
  nodenext: ['--module', 'nodenext'],
  node16: ['--module', 'node16'],
  bundler: ['--module', 'preserve', '--moduleResolution', 'bundler'],
};

it.each(Object.keys(RESOLUTIONS))('every entry has declarations without a fault under %s', async (name) => {
  const entries = names.flatMap((folder) => {
    const { exports } = read(`packages/${folder}/package.json`) as { exports: Record<string, unknown> };
    return Object.keys(exports)
      .filter((path) => path !== './package.json')
      .map((path) => npmName(folder) + path.slice(1));
  });
  const lines = entries.map(
    (entry, i) => `import * as entry${i} from '${entry}';\nexport type T${i} = typeof entry${i};`,
  );
  writeFileSync(join(project, 'entries.mts'), lines.join('\n'));
  const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'];
  const options = ['--noEmit', '--strict', '--target', 'es2022', '--pretty', 'false', ...RESOLUTIONS[name]!];
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  // Faults in the declarations of others are not ours.
  const checked = await run(process.execPath, [tsc, ...options, ...types, 'entries.mts']).catch(
    (error: Error) => error.message,
  );
  const ours = checked
    .split('\n')
    .filter((line) => /^(entries\.mts|node_modules\/(@flow-grpo|flow-grpo)\/|error ).*TS\d/.test(line));
  expect(ours).toEqual([]);
});

it.each([
  ['pjrt', ['doctor'], /plugin/i],
  ['flow-grpo', ['schema'], /"learningRate"/],
  ['flow-grpo-score', ['--help'], /pickscore\.model/],
])('installs the command %s', async (command, args, shows) => {
  expect(await run(join(project, 'node_modules/.bin', command), args)).toMatch(shows);
});

it('installs the libraries without FFI and protobuf', async () => {
  const manifest = (name: string) =>
    read(`packages/${name}/package.json`) as { dependencies?: Record<string, string> };
  const needed = new Set(['sde-sampler', 'nn', 'showo2-model', 'z-image-model', 'rewards', 'grpo-trainer']);
  for (const name of needed) {
    for (const dependency of Object.keys(manifest(name).dependencies ?? {})) {
      if (dependency.startsWith('@flow-grpo/')) needed.add(dependency.replace('@flow-grpo/', ''));
    }
  }
  expect([...needed]).not.toContain('tfjs-backend-xla');
  const folder = join(workplace, 'libraries');
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  const packed = [...needed].map((name) => tarballOf(name, workplace));
  const { version } = read('node_modules/@tensorflow/tfjs-core/package.json') as { version: string };
  const peer = `@tensorflow/tfjs-core@${version}`;
  await run(
    'npm',
    ['install', '--prefer-offline', '--ignore-scripts', '--no-audit', ...packed, peer],
    folder,
  );
  expect(existsSync(join(folder, 'node_modules/@flow-grpo/grpo-trainer'))).toBe(true);
  for (const absent of ['koffi', '@bufbuild/protobuf', '@flow-grpo/pjrt', '@flow-grpo/tfjs-backend-xla']) {
    expect(existsSync(join(folder, 'node_modules', absent)), absent).toBe(false);
  }
});

/** Standard output of a command in the project; its whole output in the error when it fails. */
const run = (command: string, args: string[], cwd = project) => runCommand(command, args, cwd);

function read(file: string): unknown {
  return JSON.parse(readFileSync(join(root, file), 'utf8'));
}

/** The first JavaScript or TypeScript block of a README. */
function firstExample(file: string): { language: string; code: string } {
  const [, language, code] = /^```(js|ts)\n([\s\S]*?)^```$/m.exec(readFileSync(file, 'utf8')) ?? [];
  if (!language || !code) throw new Error(`${file} has no example`);
  return { language, code };
}

/** The picture that the example of rewards reads. */
async function drawSign(): Promise<void> {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="320" height="120">
    <rect width="320" height="120" fill="white"/>
    <text x="160" y="80" font-size="64" font-family="sans-serif" text-anchor="middle">OPEN</text></svg>`;
  await sharp(Buffer.from(svg)).png().toFile(join(project, 'sign.png'));
}

/** A Z-Image of a few thousand random weights, where the example of z-image-model looks for the real one. */
function placeZImage(): void {
  const folder = join(project, 'Tongyi-MAI/Z-Image-Turbo');
  cpSync(join(root, 'fixtures/z-image-pipeline'), folder, { recursive: true });
  const file = join(folder, 'transformer/config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify({ ...config, axes_lens: [1536, 512, 512] }));
}

/** The quickstart's small model, where the example of showo2-model looks for the real one. */
function placeModel(): void {
  cpSync(ASSETS, join(project, 'checkpoints/show-o2-1.5B'), { recursive: true });
}
