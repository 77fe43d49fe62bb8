/** Models by hub id, from a server that speaks the hub's protocol. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFiles } from '@flow-grpo/checkpoint-io';
import { maxAbsDiff, StandInHub } from '@flow-grpo/test-support';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadShowo2, showo2FromPretrained, showo2RequiredFiles } from '../src/node';
import { writeTinyModel } from './tiny-model';

const TOKEN = 'hf_test';
const folder = mkdtempSync(join(tmpdir(), 'showo2-hub-'));
let hub: StandInHub;
let whole: Record<string, Buffer>;

beforeAll(async () => {
  const local = join(folder, 'model');
  await writeTinyModel(local, { shardSize: 20_000 });
  const files = readdirSync(local, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  whole = Object.fromEntries(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(local.length + 1), readFileSync(path)];
    }),
  );
  const json = JSON.parse(whole['config.json']!.toString());
  const named = { ...json, llm_model_path: 'org/words' };
  const inVae = Object.entries(whole).filter(([name]) => name.startsWith('vae/'));
  const weights = Object.entries(whole).filter(([name]) => name.startsWith('model'));
  hub = new StandInHub({
    // As saveShowo2 writes it, beside what nobody asked for.
    'org/whole': { ...whole, 'README.md': Buffer.from('hello'), 'optimizer.bin': Buffer.alloc(10) },
    // As upstream publishes it: weights and a configuration that names the language model.
    'org/bare': { 'config.json': Buffer.from(JSON.stringify(named)), ...Object.fromEntries(weights) },
    'org/words': { 'vocabulary.json': whole['vocabulary.json']!, 'model.safetensors': Buffer.alloc(10) },
    'org/vae': Object.fromEntries(inVae),
  });
  await hub.start();
  hub.token = TOKEN;
});
afterAll(async () => {
  await hub.stop();
  rmSync(folder, { recursive: true });
});

describe('a model by hub id', () => {
  let cacheDir: string;
  const hubOf = () => ({ endpoint: hub.endpoint, cacheDir, token: TOKEN, offline: false });
  beforeEach(() => {
    cacheDir = mkdtempSync(join(folder, 'cache-'));
    hub.requests.length = 0;
  });

  it('makes the images of the same model in a folder, resuming a broken download', async () => {
    hub.cuts = [5000];
    const downloaded = new Set<string>();
    const model = await showo2FromPretrained('org/whole', {
      hub: hubOf(),
      onDownload: ({ file, received, size }) => {
        expect(received).toBeLessThanOrEqual(size!);
        downloaded.add(file);
      },
    });
    expect([...downloaded].sort()).toEqual(Object.keys(whole).sort());
    expect(Object.keys(whole).filter((name) => /-of-/.test(name)).length).toBeGreaterThan(1);
    expect(hub.downloads.filter(({ range }) => range !== undefined).map(({ range }) => range)).toEqual([
      'bytes=5000-',
    ]);
    const local = await showo2FromPretrained(join(folder, 'model'));
    const options = { steps: 2, seed: 3 };
    const images = await Promise.all([model, local].map((one) => one.generate(['a red circle'], options)));
    expect(maxAbsDiff(images[0]!.dataSync(), images[1]!.dataSync())).toBe(0);
  });

  it('finds the tokenizer that the configuration names, and takes a VAE of another repository', async () => {
    const parts = await loadShowo2('org/bare', { vae: 'org/vae', hub: hubOf() });
    expect(parts.tokenizer.encode('red')).toHaveLength(1);
    expect(hub.requests.some(({ url }) => url.includes('/org/words/resolve/'))).toBe(true);
    expect(hub.downloads.some(({ url }) => url.includes('/org/words/'))).toBe(false);
    hub.requests.length = 0;
    const offline = { ...hubOf(), offline: true };
    const again = await loadShowo2('org/bare', { vae: 'org/vae', hub: offline });
    expect(hub.requests).toEqual([]);
    expect(Object.keys(again.params)).toEqual(Object.keys(parts.params));
  });

  it.each([
    ['with all its parts', 'org/whole', {}],
    ['with a tokenizer by its configuration and a VAE by id', 'org/bare', { vae: 'org/vae' }],
    ['with a tokenizer and a VAE by id', 'org/bare', { tokenizer: 'org/words', vae: 'org/whole' }],
    ['of which some parts lie here', 'org/bare', { tokenizer: folder, vae: join(folder, 'model/vae') }],
  ])('checked %s, is loaded without asking for another file', async (_, id, given) => {
    const places =
      'tokenizer' in given && given.tokenizer === folder
        ? { ...given, tokenizer: join(folder, 'model') }
        : given;
    const check = async (offline: boolean) => {
      const at = { hub: { ...hubOf(), offline } };
      const required = await showo2RequiredFiles(id, places, at);
      return Promise.all(
        required.map(async (each) => ({ source: each.source, ...(await findFiles(each, at)) })),
      );
    };
    const announced = (await check(false)).flatMap(({ kind, source, files }) =>
      kind === 'hub' ? files.map(({ file }) => `${source}/${file}`) : [],
    );
    await loadShowo2(id, { ...places, hub: hubOf() });
    const asked = hub.requests
      .filter(({ method }) => method === 'GET')
      .flatMap(
        ({ url }) =>
          /^\/(?:storage\/)?(org\/\w+)\/(?:resolve\/\w+\/)?(.+)$/.exec(url)?.slice(1, 3).join('/') ?? [],
      );
    expect([...new Set(asked)].sort()).toEqual([...new Set(announced)].sort());
    expect((await check(true)).every(({ downloadBytes }) => downloadBytes === 0)).toBe(true);
    hub.requests.length = 0;
    await loadShowo2(id, { ...places, hub: { ...hubOf(), offline: true } });
    expect(hub.requests).toEqual([]);
  });

  it('asks Wan’s repository for the VAE where there is none', async () => {
    await expect(loadShowo2('org/bare', { hub: hubOf() })).rejects.toThrow(/Wan-AI\/Wan2\.1.*404/);
  });

  it('needs the token where one is asked for, and says when there is no such model', async () => {
    const wrong = { ...hubOf(), token: 'hf_wrong' };
    await expect(loadShowo2('org/whole', { hub: wrong })).rejects.toThrow(/HF_TOKEN/);
    await expect(loadShowo2('org/none', { hub: hubOf() })).rejects.toThrow(
      /org\/none does not exist here.*404/,
    );
    await expect(loadShowo2('org/whole', { hub: { ...hubOf(), offline: true } })).rejects.toThrow(
      /not in the cache.*offline/,
    );
  });

  it('does not ask the hub for parts of a folder', async () => {
    const bare = mkdtempSync(join(folder, 'bare-'));
    for (const name of Object.keys(whole).filter((each) => !each.startsWith('vae/')))
      writeFileSync(join(bare, name), whole[name]!);
    await expect(loadShowo2(bare, { hub: hubOf() })).rejects.toThrow(
      /has no Wan2\.1_VAE\.pth or vae\/.*Hugging Face hub as Wan-AI/,
    );
    expect(hub.requests).toEqual([]);
  });
});
