import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StandInHub, sha256 } from '@flow-grpo/test-support';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { checkpointFiles } from '../open';
import { resolveModel } from '../sources';
import { hubSettings } from './environment';
import { HubError, snapshotDownload, snapshotFiles } from './index';

const TOKEN = 'hf_test';
const config = Buffer.from('{"hidden_size": 4}\n');
const weights = Buffer.from(Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7919) >> 3));

describe('hub', () => {
  let hub: StandInHub;
  let cacheDir: string;
  const options = () => ({ endpoint: hub.endpoint, cacheDir, offline: false });

  beforeEach(async () => {
    cacheDir = mkdtempSync(join(tmpdir(), 'hub-'));
    hub = new StandInHub({
      'org/tiny': { 'config.json': config, 'model.safetensors': weights },
      'org/both': {
        ...{ 'config.json': config, 'pytorch_model.bin': weights, 'notes.bin': config },
        ...{ 'pytorch_model-00001-of-00001.bin': weights, 'pytorch_model.bin.index.json': config },
      },
    });
    await hub.start();
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await hub.stop();
    rmSync(cacheDir, { recursive: true });
  });

  it('fills the shared cache layout and then asks for nothing twice', async () => {
    const sizes: number[] = [];
    const folder = await snapshotDownload('org/tiny', {
      ...options(),
      onProgress: ({ file, received, size }) => {
        if (file === 'model.safetensors') sizes.push(received);
        expect(size).toBe(file === 'model.safetensors' ? weights.length : config.length);
      },
    });
    const repo = join(cacheDir, 'models--org--tiny');
    expect(folder).toBe(join(repo, 'snapshots', hub.commit));
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    expect(readFileSync(join(folder, 'config.json')).equals(config)).toBe(true);
    expect(readFileSync(join(repo, 'refs', 'main'), 'utf8')).toBe(hub.commit);
    expect(readlinkSync(join(folder, 'model.safetensors'))).toBe(join('..', '..', 'blobs', sha256(weights)));
    expect(sizes.at(-1)).toBe(weights.length);
    hub.requests.length = 0;
    expect(await snapshotDownload('org/tiny', options())).toBe(folder);
    expect(hub.requests.map(({ url }) => url)).toEqual(['/api/models/org/tiny/revision/main']);
  });

  it('takes up broken downloads where they stopped', async () => {
    hub.cuts = [50_000, 60_000];
    const folder = await snapshotDownload('org/tiny', options());
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    expect(hub.downloads.map(({ range }) => range)).toEqual([undefined, 'bytes=50000-', 'bytes=110000-']);
    // Addresses in the storage expire: every attempt asks the hub for a new one.
    const asked = hub.requests.filter(({ method, url }) => method === 'GET' && url.includes('/resolve/'));
    expect(asked.filter(({ url }) => url.endsWith('.safetensors'))).toHaveLength(3);
  });

  it('continues the partial file of an earlier process', async () => {
    const blobs = join(cacheDir, 'models--org--tiny', 'blobs');
    mkdirSync(blobs, { recursive: true });
    writeFileSync(join(blobs, `${sha256(weights)}.incomplete`), weights.subarray(0, 123));
    const folder = await snapshotDownload('org/tiny', options());
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    expect(hub.downloads.map(({ range }) => range)).toEqual(['bytes=123-']);
  });

  it('refuses a wrong checksum and keeps nothing of it', async () => {
    const damaged = Buffer.from(weights);
    damaged[1000]! ^= 1;
    hub.instead.set('org/tiny/model.safetensors', damaged);
    await expect(snapshotDownload('org/tiny', options())).rejects.toThrow('the checksum is not');
    hub.instead.clear();
    const folder = await snapshotDownload('org/tiny', options());
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  });

  it('sends the token to the endpoint and to nobody else', async () => {
    hub.token = TOKEN;
    await expect(snapshotDownload('org/tiny', { ...options(), token: 'wrong' })).rejects.toThrow('HF_TOKEN');
    hub.requests.length = 0;
    await snapshotDownload('org/tiny', { ...options(), token: TOKEN });
    for (const { url, authorization } of hub.requests) {
      expect(authorization, url).toBe(url.startsWith('/storage/') ? undefined : `Bearer ${TOKEN}`);
    }
  });

  it('works offline from the cache, and says what is missing', async () => {
    await expect(snapshotDownload('org/tiny', { ...options(), offline: true })).rejects.toThrow(
      'offline mode',
    );
    expect(hub.requests).toEqual([]);
    const folder = await snapshotDownload('org/tiny', options());
    hub.requests.length = 0;
    expect(await snapshotDownload('org/tiny', { ...options(), offline: true })).toBe(folder);
    expect(hub.requests).toEqual([]);
    const unreachable = { ...options(), endpoint: 'http://127.0.0.1:1' };
    expect(await snapshotDownload('org/tiny', unreachable)).toBe(folder);
    await expect(snapshotDownload('org/other', unreachable)).rejects.toThrow('cannot be reached');
  });

  it('fetches only what the filter wants, and refuses ids that leave the cache', async () => {
    await snapshotDownload('org/tiny', { ...options(), filter: (file) => file.endsWith('.json') });
    expect(hub.downloads).toEqual([]);
    for (const id of ['../x', 'a/b/c', 'org/..', '']) {
      await expect(snapshotDownload(id, options())).rejects.toThrow(HubError);
    }
    await expect(snapshotDownload('org/none', options())).rejects.toThrow('404');
  });

  it('says what a download would give, and downloads nothing', async () => {
    const sizes = { 'config.json': config.length, 'model.safetensors': weights.length };
    const expected = (cached: string[]) =>
      Object.entries(sizes).map(([file, size]) => ({ file, size, cached: cached.includes(file) }));
    expect(await snapshotFiles('org/tiny', options())).toEqual(expected([]));
    expect(readdirSync(cacheDir)).toEqual([]);
    const wanted = { ...options(), filter: (file: string) => file.endsWith('.json') };
    await snapshotDownload('org/tiny', wanted);
    expect(await snapshotFiles('org/tiny', options())).toEqual(expected(['config.json']));
    expect(await snapshotFiles('org/tiny', { ...wanted, offline: true })).toEqual(
      expected(['config.json']).slice(0, 1),
    );
    expect(hub.downloads).toEqual([]);
    await expect(snapshotFiles('org/none', options())).rejects.toThrow('404');
    const offline = { ...options(), offline: true };
    await expect(snapshotFiles('org/none', offline)).rejects.toThrow('not in the cache');
  });

  it('fetches data sets from their own place, beside models in the cache', async () => {
    const folder = await snapshotDownload('org/tiny', { ...options(), repoType: 'dataset' });
    expect(folder).toBe(join(cacheDir, 'datasets--org--tiny', 'snapshots', hub.commit));
    expect(readFileSync(join(folder, 'config.json')).equals(config)).toBe(true);
    const asked = hub.requests.filter(({ url }) => !url.startsWith('/storage/')).map(({ url }) => url);
    expect(asked[0]).toBe('/api/datasets/org/tiny/revision/main');
    expect(asked.slice(1).every((url) => url.startsWith('/datasets/org/tiny/resolve/'))).toBe(true);
  });

  it('tells the filter what else there is, so that weights come in one format', async () => {
    const wanted = (file: string, all: readonly string[]) => checkpointFiles(all).includes(file);
    const folder = await snapshotDownload('org/both', { ...options(), filter: wanted });
    expect(readdirSync(folder).sort()).toEqual([
      'pytorch_model-00001-of-00001.bin',
      'pytorch_model.bin.index.json',
    ]);
    expect(checkpointFiles(['model.safetensors', 'pytorch_model.bin'])).toEqual(['model.safetensors']);
    expect(checkpointFiles(['notes.bin'])).toEqual([]);
    const offline = { ...options(), filter: wanted, offline: true };
    expect(await snapshotDownload('org/both', offline)).toBe(folder);
  });

  it('takes what is not given from the variables of huggingface_hub', async () => {
    writeFileSync(join(cacheDir, 'token'), 'hf_stored\n');
    expect(await hubSettings({}, { HF_HOME: cacheDir })).toEqual({
      endpoint: 'https://huggingface.co',
      token: 'hf_stored',
      cacheDir: join(cacheDir, 'hub'),
      offline: false,
    });
    const env = {
      HF_ENDPOINT: `${hub.endpoint}/`,
      HF_TOKEN: TOKEN,
      HF_HUB_CACHE: join(cacheDir, 'elsewhere'),
      HF_HUB_OFFLINE: '1',
    };
    const settings = { endpoint: hub.endpoint, token: TOKEN, cacheDir: env.HF_HUB_CACHE, offline: true };
    expect(await hubSettings({}, env)).toEqual(settings);
    expect(await hubSettings({ offline: false, token: 'own' }, env)).toMatchObject({
      offline: false,
      token: 'own',
    });
    // And so end to end, as a user sets them.
    hub.token = TOKEN;
    for (const [name, value] of Object.entries({ ...env, HF_HUB_OFFLINE: '' })) vi.stubEnv(name, value);
    const folder = await snapshotDownload('org/tiny');
    expect(folder.startsWith(env.HF_HUB_CACHE)).toBe(true);
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    hub.requests.length = 0;
    expect(await snapshotDownload('org/tiny')).toBe(folder);
    expect(hub.requests).toEqual([]);
  });

  it('takes a folder as it is', async () => {
    expect(await resolveModel(cacheDir, options())).toBe(cacheDir);
    expect(hub.requests).toEqual([]);
  });
});
