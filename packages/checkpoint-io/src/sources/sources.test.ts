import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { StandInHub } from '@flow-grpo/test-support';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  checkpointChoice,
  fetchFiles,
  fileChoice,
  findFiles,
  firstChoice,
  folderChoice,
  MissingFilesError,
  mainFileChoice,
  optionalChoice,
  parseSource,
  type RequiredFiles,
} from './index';

const work = mkdtempSync(join(tmpdir(), 'sources-'));
const bytes = (count: number) => Buffer.alloc(count, 7);
const index = (...shards: string[]) =>
  Buffer.from(JSON.stringify({ weight_map: Object.fromEntries(shards.map((name, i) => [`w${i}`, name])) }));

/** What repositories and folders hold; what is read of each, or what it lacks. */
const HOLDINGS: Record<string, { files: Record<string, Buffer>; read?: string[]; lacks?: string }> = {
  whole: {
    files: {
      'config.json': bytes(3),
      'model.safetensors': bytes(50),
      'pytorch_model.bin': bytes(60),
      'tokenizer.json': bytes(5),
      'vae/model.safetensors': bytes(20),
      'README.md': bytes(9),
    },
    read: ['config.json', 'model.safetensors', 'tokenizer.json', 'vae/model.safetensors'],
  },
  torch: {
    files: { 'config.json': bytes(3), 'pytorch_model.bin': bytes(60) },
    read: ['config.json', 'pytorch_model.bin'],
  },
  sharded: {
    files: {
      'config.json': bytes(3),
      'model.safetensors.index.json': index(
        'model-00001-of-00002.safetensors',
        'model-00002-of-00002.safetensors',
      ),
      'model-00001-of-00002.safetensors': bytes(30),
      'model-00002-of-00002.safetensors': bytes(31),
    },
    read: [
      'config.json',
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
    ],
  },
  'lacks-shard': {
    files: {
      'config.json': bytes(3),
      'model.safetensors.index.json': index(
        'model-00001-of-00002.safetensors',
        'model-00002-of-00002.safetensors',
      ),
      'model-00001-of-00002.safetensors': bytes(30),
    },
    lacks: '00002|shard 2 of 2',
  },
  'lacks-config': { files: { 'model.safetensors': bytes(50) }, lacks: 'config\\.json' },
  'lacks-weights': { files: { 'config.json': bytes(3), 'notes.txt': bytes(3) }, lacks: 'weights' },
  empty: { files: { 'README.md': bytes(2) }, lacks: 'config\\.json, and no weights' },
};
const NAMES = Object.keys(HOLDINGS);

const required = (source: string): RequiredFiles => ({
  option: 'model',
  source,
  files: {
    config: fileChoice('config.json'),
    weights: checkpointChoice(),
    tokenizer: optionalChoice(fileChoice('vocabulary.json', 'tokenizer.json')),
    vae: optionalChoice(firstChoice(fileChoice('vae.pth'), folderChoice('vae', checkpointChoice()))),
  },
  hint: 'Get it somewhere.',
});

let hub: StandInHub;
let cacheDir: string;
const options = (offline = false) => ({ hub: { endpoint: hub.endpoint, cacheDir, offline } });

beforeAll(async () => {
  for (const [name, { files }] of Object.entries(HOLDINGS)) {
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(dirname(join(work, name, file)), { recursive: true });
      writeFileSync(join(work, name, file), content);
    }
  }
  hub = new StandInHub(Object.fromEntries(NAMES.map((name) => [`org/${name}`, HOLDINGS[name]!.files])));
  await hub.start();
});
afterAll(async () => {
  await hub.stop();
  rmSync(work, { recursive: true });
});
beforeEach(() => {
  cacheDir = mkdtempSync(join(work, 'cache-'));
  hub.requests.length = 0;
});

const found = async (source: string, offline = false) =>
  (await findFiles(required(source), options(offline))).files.map(({ file }) => file).sort();
const received = () =>
  hub.requests
    .filter(({ method, url }) => method === 'GET' && /\/(resolve\/[0-9a-f]+|storage\/org\/[^/]+)\//.test(url))
    .map(({ url }) => url.replace(/.*\/(resolve\/[0-9a-f]+|storage\/org\/[^/]+)\//, ''));

describe.each(NAMES)('a check and a load of %s', (name) => {
  const { read, lacks, files } = HOLDINGS[name]!;

  it('agree on a folder', async () => {
    const place = join(work, name);
    if (lacks !== undefined) {
      await expect(found(place)).rejects.toThrow(new RegExp(lacks));
      await expect(fetchFiles(required(place), options())).rejects.toThrow(new RegExp(lacks));
    } else {
      expect(await found(place)).toEqual(read);
      const { paths } = await fetchFiles(required(place), options());
      expect(read).toEqual(
        expect.arrayContaining([paths.config!, paths.weights!].map((path) => path.slice(place.length + 1))),
      );
    }
    expect(hub.requests).toEqual([]);
  });

  it('agree on a repository, and on its copy in the cache', async () => {
    const place = `org/${name}`;
    if (lacks !== undefined) {
      await expect(found(place)).rejects.toThrow(MissingFilesError);
      await expect(fetchFiles(required(place), options())).rejects.toThrow(new RegExp(lacks));
      expect(received()).toEqual([]);
      return;
    }
    await expect(found(place, true)).rejects.toThrow('offline');
    const check = await findFiles(required(place), options());
    expect(received()).toEqual([]);
    expect(check.files.map(({ file }) => file).sort()).toEqual(read);
    expect(check.downloadBytes).toBe(read!.reduce((sum, file) => sum + files[file]!.length, 0));
    await fetchFiles(required(place), options());
    expect([...new Set(received())].sort()).toEqual(read);
    expect((await findFiles(required(place), options())).downloadBytes).toBe(0);
    expect(await found(place, true)).toEqual(read);
    hub.requests.length = 0;
    await fetchFiles(required(place), options(true));
    expect(hub.requests).toEqual([]);
  });
});

describe('a check and a load', () => {
  it('both refuse a cache that holds a part', async () => {
    await fetchFiles({ ...required('org/sharded'), files: { config: fileChoice('config.json') } }, options());
    await expect(found('org/sharded', true)).rejects.toThrow(/no weights.*in the cache.*HF_HUB_OFFLINE/);
    await fetchFiles(required('org/sharded'), options());
    const blob = (await fetchFiles(required('org/sharded'), options())).place;
    rmSync(join(blob, 'model-00002-of-00002.safetensors'));
    for (const look of [findFiles, fetchFiles]) {
      await expect(look(required('org/sharded'), options(true))).rejects.toThrow('shard 2 of 2');
    }
  });

  it('take a file for what it is, with its neighbours, here and in a repository', async () => {
    const files = { weights: mainFileChoice('other.pth'), config: optionalChoice(fileChoice('config.json')) };
    for (const source of [join(work, 'torch/pytorch_model.bin'), 'org/torch/pytorch_model.bin']) {
      const { place, paths } = await fetchFiles({ option: 'model', source, files }, options());
      expect(paths.weights).toBe(place);
      expect(paths.weights).toMatch(/pytorch_model\.bin$/);
      expect(paths.config).toMatch(/config\.json$/);
    }
    const gone = { option: 'model', source: 'org/torch/none.bin', files };
    for (const look of [findFiles, fetchFiles])
      await expect(look(gone, options())).rejects.toThrow('org/torch/none.bin has no none.bin');
  });

  it('follow an index to shards of any name in a folder', async () => {
    const place = join(work, 'odd');
    mkdirSync(place);
    writeFileSync(join(place, 'config.json'), '{}');
    writeFileSync(
      join(place, 'model.safetensors.index.json'),
      index('first.safetensors', 'second.safetensors'),
    );
    writeFileSync(join(place, 'first.safetensors'), bytes(1));
    await expect(found(place)).rejects.toThrow('second.safetensors');
    writeFileSync(join(place, 'second.safetensors'), bytes(1));
    expect(await found(place)).toContain('second.safetensors');
  });

  it('find nothing where all is optional and nothing is there', async () => {
    const nothing = {
      option: 'model',
      source: 'org/empty',
      files: { a: optionalChoice(fileChoice('a.json')) },
    };
    expect((await findFiles(nothing, options())).files).toEqual([]);
    expect((await fetchFiles(nothing, options())).paths.a).toBeUndefined();
  });

  it('end their message in where to get the files', async () => {
    await expect(found(join(work, 'none'))).rejects.toThrow(/none does not exist.*\. Get it somewhere\.$/);
    await expect(found('org/none')).rejects.toThrow(
      /org\/none does not exist here, and .*404.*\. Get it somewhere/,
    );
  });
});

describe('parseSource', () => {
  it.each([
    ['org/name', { kind: 'hub', repo: 'org/name' }],
    ['bert-base-uncased', { kind: 'hub', repo: 'bert-base-uncased' }],
    ['org/name@v1.0', { kind: 'hub', repo: 'org/name', revision: 'v1.0' }],
    ['org/name/sub/file.pth', { kind: 'hub', repo: 'org/name', file: 'sub/file.pth' }],
    ['org/name@main/file.pth', { kind: 'hub', repo: 'org/name', revision: 'main', file: 'file.pth' }],
    [work, { kind: 'folder', path: work }],
  ])('%s', async (text, source) => {
    expect(await parseSource(text)).toEqual(source);
  });

  it.each(['./none', '../none', '/none/at/all', 'no-head.pth', 'none/at all', 'org/name/../../etc', ''])(
    'refuses %j',
    async (text) => {
      await expect(parseSource(text)).rejects.toThrow('does not exist');
    },
  );
});
