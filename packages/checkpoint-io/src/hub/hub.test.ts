import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HubError, resolveModel, snapshotDownload, snapshotFiles } from './index';

const COMMIT = 'a'.repeat(40);
const TOKEN = 'hf_test';
const config = Buffer.from('{"hidden_size": 4}\n');
const weights = Buffer.from(Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7919) >> 3));
const gitId = (bytes: Buffer) =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** A server that speaks the hub's protocol: description, resolve with ETags, large files behind a redirect. */
class FakeHub {
  readonly requests: {
    method: string;
    url: string;
    range: string | undefined;
    authorization: string | undefined;
  }[] = [];
  /** Cut the connection after this many bytes of a large file, once for each entry. */
  cuts: number[] = [];
  served = weights;
  isPrivate = false;
  private server!: Server;
  private storage!: Server;

  async start(): Promise<void> {
    this.storage = createServer((request, response) => this.store(request, response));
    this.server = createServer((request, response) => this.answer(request, response));
    for (const server of [this.storage, this.server]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    }
  }

  async stop(): Promise<void> {
    for (const server of [this.storage, this.server]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  private note({ method = '', url = '', headers }: IncomingMessage): void {
    this.requests.push({ method, url, range: headers.range, authorization: headers.authorization });
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    this.note(request);
    // Data sets are served as the model of the same name.
    const url = request.url?.replace('/api/datasets/', '/api/models/').replace(/^\/datasets\//, '/');
    if (this.isPrivate && request.headers.authorization !== `Bearer ${TOKEN}`) response.writeHead(401).end();
    else if (url === '/api/models/org/tiny/revision/main') {
      const siblings = ['config.json', 'model.safetensors'].map((rfilename) => ({ rfilename }));
      response.end(JSON.stringify({ id: 'org/tiny', sha: COMMIT, siblings }));
    } else if (url === `/org/tiny/resolve/${COMMIT}/config.json`) {
      response.writeHead(200, { etag: `"${gitId(config)}"`, 'content-length': config.length });
      response.end(request.method === 'HEAD' ? undefined : config);
    } else if (url === `/org/tiny/resolve/${COMMIT}/model.safetensors`) {
      const { port } = this.storage.address() as AddressInfo;
      response.writeHead(302, {
        location: `http://127.0.0.1:${port}/blob`,
        'x-linked-etag': `"${sha256(weights)}"`,
        'x-linked-size': weights.length,
      });
      response.end();
    } else response.writeHead(404).end();
  }

  private store(request: IncomingMessage, response: ServerResponse): void {
    this.note(request);
    const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const body = this.served.subarray(start);
    response.writeHead(start > 0 ? 206 : 200, { etag: '"storage"', 'content-length': body.length });
    if (request.method === 'HEAD') return void response.end();
    const cut = this.cuts.shift();
    if (cut === undefined) response.end(body);
    else response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 20));
  }
}

describe('hub', () => {
  let hub: FakeHub;
  let cacheDir: string;
  const options = () => ({ endpoint: hub.endpoint, cacheDir, offline: false });
  const downloads = () => hub.requests.filter(({ method, url }) => method === 'GET' && url === '/blob');

  beforeEach(async () => {
    cacheDir = mkdtempSync(join(tmpdir(), 'hub-'));
    hub = new FakeHub();
    await hub.start();
  });
  afterEach(async () => {
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
    expect(folder).toBe(join(repo, 'snapshots', COMMIT));
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    expect(readFileSync(join(folder, 'config.json')).equals(config)).toBe(true);
    expect(readFileSync(join(repo, 'refs', 'main'), 'utf8')).toBe(COMMIT);
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
    expect(downloads().map(({ range }) => range)).toEqual([undefined, 'bytes=50000-', 'bytes=110000-']);
  });

  it('continues the partial file of an earlier process', async () => {
    const blobs = join(cacheDir, 'models--org--tiny', 'blobs');
    mkdirSync(blobs, { recursive: true });
    writeFileSync(join(blobs, `${sha256(weights)}.incomplete`), weights.subarray(0, 123));
    const folder = await snapshotDownload('org/tiny', options());
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    expect(downloads().map(({ range }) => range)).toEqual(['bytes=123-']);
  });

  it('refuses a wrong checksum and keeps nothing of it', async () => {
    hub.served = Buffer.from(weights);
    hub.served[1000]! ^= 1;
    await expect(snapshotDownload('org/tiny', options())).rejects.toThrow('the checksum is not');
    hub.served = weights;
    const folder = await snapshotDownload('org/tiny', options());
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  });

  it('sends the token to the endpoint and to nobody else', async () => {
    hub.isPrivate = true;
    await expect(snapshotDownload('org/tiny', { ...options(), token: 'wrong' })).rejects.toThrow('HF_TOKEN');
    hub.requests.length = 0;
    await snapshotDownload('org/tiny', { ...options(), token: TOKEN });
    for (const { url, authorization } of hub.requests) {
      expect(authorization, url).toBe(url === '/blob' ? undefined : `Bearer ${TOKEN}`);
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
    expect(downloads()).toEqual([]);
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
    expect(downloads()).toEqual([]);
    await expect(snapshotFiles('org/none', options())).rejects.toThrow('404');
    const offline = { ...options(), offline: true };
    await expect(snapshotFiles('org/none', offline)).rejects.toThrow('not in the cache');
  });

  it('fetches data sets from their own place, beside models in the cache', async () => {
    const folder = await snapshotDownload('org/tiny', { ...options(), repoType: 'dataset' });
    expect(folder).toBe(join(cacheDir, 'datasets--org--tiny', 'snapshots', COMMIT));
    expect(readFileSync(join(folder, 'config.json')).equals(config)).toBe(true);
    const asked = hub.requests.filter(({ url }) => url !== '/blob').map(({ url }) => url);
    expect(asked[0]).toBe('/api/datasets/org/tiny/revision/main');
    expect(asked.slice(1).every((url) => url.startsWith('/datasets/org/tiny/resolve/'))).toBe(true);
  });

  it('takes a folder as it is', async () => {
    expect(await resolveModel(cacheDir, options())).toBe(cacheDir);
    expect(hub.requests).toEqual([]);
  });
});
