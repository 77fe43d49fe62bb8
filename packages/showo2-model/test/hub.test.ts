/** Models by hub id, from a server that speaks the hub's protocol. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { maxAbsDiff, StandInHub } from '@flow-grpo/test-support';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadShowo2, Showo2 } from '../src/index';
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
    const model = await Showo2.fromPretrained('org/whole', {
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
    const local = await Showo2.fromPretrained(join(folder, 'model'));
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
    await expect(loadShowo2(bare, { hub: hubOf() })).rejects.toThrow(/No VAE at .*Wan2\.1_VAE\.pth.*hub id/);
    expect(hub.requests).toEqual([]);
  });
});
