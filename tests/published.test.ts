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

/** As Node resolves packages, and as bundlers do. */
const RESOLUTIONS = [
  ['node16', 'node16'],
  ['esnext', 'bundler'],
] as const;

it.each(RESOLUTIONS)('has types of every entry: module %s, resolution %s', async (module, resolution) => {
  const entries = names.flatMap((name) => {
    const { exports } = JSON.parse(
      readFileSync(join(project, 'node_modules', npmName(name), 'package.json'), 'utf8'),
    ) as { exports: Record<string, unknown> };
    const paths = Object.keys(exports).filter((path) => path !== './package.json');
    return paths.map((path) => `${npmName(name)}${path.slice(1)}`);
  });
  const file = `entries-${resolution}.mts`;
  const imports = entries.map((entry, i) => `import * as entry${i} from '${entry}';\nvoid entry${i};\n`);
  // What cannot be found is named: the compiler does look.
  writeFileSync(join(project, file), `${imports.join('')}import '@flow-grpo/nn/none';\n`);
  const tsc = join(root, 'node_modules/typescript7/bin/tsc');
  const options = [
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    'false',
    '--target',
    'es2022',
    '--pretty',
    'false',
  ];
  const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'];
  const told = ['--module', module, '--moduleResolution', resolution, ...options, ...types, file];
  const output = await run(process.execPath, [tsc, ...told]).catch((error: Error) => error.message);
  // tfjs-core's own declarations, and those of WebGPU that it brings, have errors.
  const foreign = /^(\S*\/)?(node_modules\/@(tensorflow|webgpu)\/|lib\.dom\.d\.ts)/;
  const errors = output.split('\n').filter((line) => /error TS\d+/.test(line) && !foreign.test(line));
  expect(errors).toEqual([expect.stringMatching(/^entries-.*Cannot find module .*'@flow-grpo\/nn\/none'/)]);
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
