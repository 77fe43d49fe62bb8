import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { StandInHub, sha256 } from '@flow-grpo/test-support';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { downloadBlob } from './download';
import { hubSettings } from './environment';
import { HubError, snapshotDownload, snapshotFiles } from './index';

const config = Buffer.from('{"hidden_size": 4}\n');
const weights = Buffer.from(Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7919) >> 3));

let hub: StandInHub;
let cacheDir: string;
const options = () => ({ endpoint: hub.endpoint, cacheDir, offline: false });
const download = () => snapshotDownload('org/tiny', options());
const blobs = () => join(cacheDir, 'models--org--tiny', 'blobs');
/** Every path under the cache. */
const cached = () => readdirSync(cacheDir, { recursive: true }).map(String).sort();
const partial = (bytes: Uint8Array) => {
  mkdirSync(blobs(), { recursive: true });
  writeFileSync(join(blobs(), `${sha256(weights)}.incomplete`), bytes);
};
const expectWeights = (folder: string) =>
  expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
/** The storage answers so, the hub as ever. */
const storage = (answer: (request: IncomingMessage, response: ServerResponse) => boolean) => {
  hub.intercept = (request, response) =>
    request.method === 'GET' && request.url!.startsWith('/storage/') && answer(request, response);
};
/** The description of a repository is this text. */
const listing = (body: string | Buffer, headers: Record<string, string> = {}) => {
  hub.intercept = (request, response) => {
    if (!request.url!.startsWith('/api/')) return false;
    response.writeHead(200, headers).end(body);
    return true;
  };
};
const describing = (files: readonly unknown[], sha: unknown = hub.commit) =>
  JSON.stringify({ sha, siblings: files.map((rfilename) => ({ rfilename })) });

beforeEach(async () => {
  cacheDir = mkdtempSync(join(tmpdir(), 'hub-trust-'));
  hub = new StandInHub({
    'org/tiny': { 'config.json': config, 'model.safetensors': weights, empty: Buffer.alloc(0) },
  });
  await hub.start();
});
afterEach(async () => {
  await hub.stop();
  rmSync(cacheDir, { recursive: true });
});

describe('a partial download', () => {
  const longer = Buffer.concat([weights, Buffer.alloc(5)]);

  it('that is longer than the file starts again', async () => {
    partial(longer);
    expectWeights(await download());
    expect(hub.downloads.map(({ range }) => range)).toEqual([undefined]);
  });

  it('that the storage cannot continue (416) starts again', async () => {
    partial(weights.subarray(0, 100));
    storage((request, response) => {
      if (!request.headers.range) return false;
      response.writeHead(416).end();
      return true;
    });
    expectWeights(await download());
    expect(hub.downloads.map(({ range }) => range)).toEqual(['bytes=100-', undefined]);
  });

  it('that is continued with another part starts again', async () => {
    partial(weights.subarray(0, 100));
    storage((request, response) => {
      if (!request.headers.range) return false;
      response.writeHead(206, { 'content-range': `bytes 0-${weights.length - 1}/${weights.length}` });
      response.end(weights);
      return true;
    });
    expectWeights(await download());
  });

  it('that is continued with packed bytes starts again', async () => {
    partial(weights.subarray(0, 100));
    storage((request, response) => {
      if (!request.headers.range) return false;
      response.writeHead(206, { 'content-range': 'bytes 100-199999/200000', 'content-encoding': 'gzip' });
      response.end(gzipSync(weights.subarray(100)));
      return true;
    });
    expectWeights(await download());
  });

  it('is given up when it breaks off and cannot be continued again and again', async () => {
    storage((request, response) => {
      if (request.headers.range) response.writeHead(416).end();
      else
        response
          .writeHead(200)
          .write(weights.subarray(0, 500), () => setTimeout(() => response.destroy(), 20));
      return true;
    });
    await expect(download()).rejects.toThrow('broken off 4 times');
    expect(hub.downloads.length).toBeLessThan(20);
  });

  it('with other bytes is found by the checksum, and the next call succeeds', async () => {
    partial(Buffer.alloc(100, 7));
    await expect(download()).rejects.toThrow('the checksum is not');
    expectWeights(await download());
  });
});

describe('what the hub sends', () => {
  it('is an empty file too', async () => {
    const folder = await download();
    expect(readFileSync(join(folder, 'empty')).length).toBe(0);
  });

  it('is fetched again where a file of the cache has another size', async () => {
    mkdirSync(blobs(), { recursive: true });
    writeFileSync(join(blobs(), sha256(weights)), weights.subarray(0, 10));
    const before = await snapshotFiles('org/tiny', options());
    expect(before.find(({ file }) => file === 'model.safetensors')).toMatchObject({ cached: false });
    expectWeights(await download());
  });

  it.each([301, 302, 303, 307, 308])('may move with status %s', async (status) => {
    hub.intercept = (request, response) => {
      const [, path] = /^\/old(.*)/.exec(request.url!) ?? [];
      if (path === undefined) return false;
      response.writeHead(status, { location: path }).end();
      return true;
    };
    expectWeights(await snapshotDownload('org/tiny', { ...options(), endpoint: `${hub.endpoint}/old` }));
  });

  it('may be packed where it is text, and is unpacked', async () => {
    listing(gzipSync(describing(['config.json'])), { 'content-encoding': 'gzip' });
    const folder = await download();
    expect(readdirSync(folder)).toEqual(['config.json']);
    hub.intercept = (request, response) => {
      if (!request.url!.endsWith('/config.json')) return false;
      const packed = gzipSync(config);
      response.writeHead(200, {
        etag: '"packed"',
        'content-encoding': 'gzip',
        'content-length': packed.length,
      });
      response.end(request.method === 'HEAD' ? undefined : packed);
      return true;
    };
    rmSync(cacheDir, { recursive: true });
    expect(readFileSync(join(await download(), 'config.json')).equals(config)).toBe(true);
  });

  it('ends where no size was announced', async () => {
    const endless = (_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200, { etag: '"e"' });
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(1000)));
        if (!response.destroyed) response.once('drain', more);
      };
      more();
      return true;
    };
    hub.intercept = (request, response) => request.method === 'GET' && endless(request, response);
    const settings = await hubSettings(options(), {});
    const remote = { etag: 'e', size: undefined, url: `${hub.endpoint}/x` };
    const blob = join(cacheDir, 'e');
    await expect(downloadBlob(settings, remote, blob, () => {}, undefined, 50_000)).rejects.toThrow(
      'announces no size and sends more than 50000 bytes',
    );
    expect(cached()).toEqual([]);
  });

  it.each([
    '.',
    '..',
    '../../x',
    'a/b',
    'a\\b',
    '',
    '-x',
    'x'.repeat(129),
    'a b',
    '%2e%2e',
    'é',
    'x.incomplete',
  ])('has no ETag like %j, which would name another file', async (etag) => {
    hub.intercept = (request, response) => {
      if (!request.url!.endsWith('/config.json')) return false;
      response.writeHead(200, {
        etag: Buffer.from(`"${etag}"`).toString('latin1'),
        'content-length': config.length,
      });
      response.end(request.method === 'HEAD' ? undefined : config);
      return true;
    };
    const wanted = { ...options(), filter: (file: string) => file === 'config.json' };
    await expect(snapshotDownload('org/tiny', wanted)).rejects.toThrow('no usable ETag');
    expect(cached().filter((path) => path.includes('blobs'))).toEqual([]);
  });

  it.each(['-5', '1e3', 'many', '99999999999999999999'])(
    'may announce the size %j, which means nothing',
    async (size) => {
      hub.intercept = (request, response) => {
        if (request.method !== 'HEAD' || !request.url!.endsWith('/config.json')) return false;
        response.writeHead(200, { etag: '"c"', 'x-linked-size': size }).end();
        return true;
      };
      expect(readFileSync(join(await download(), 'config.json')).equals(config)).toBe(true);
    },
  );

  it.each(['ftp://example.org/x', 'file:///etc/passwd', 'http://[', 'data:,x'])(
    'does not lead to %s',
    async (location) => {
      hub.intercept = (request, response) => {
        if (!request.url!.includes('/resolve/')) return false;
        response.writeHead(307, { location }).end();
        return true;
      };
      await expect(download()).rejects.toThrow('redirected to');
    },
  );

  it('does not lead in circles', async () => {
    hub.intercept = (request, response) => {
      if (!request.url!.includes('/resolve/')) return false;
      response.writeHead(308, { location: request.url! }).end();
      return true;
    };
    await expect(download()).rejects.toThrow('redirected more than 5 times');
  });

  it.each([304, 300])('is no file with status %s and no address', async (status) => {
    hub.intercept = (request, response) => {
      if (!request.url!.includes('/resolve/')) return false;
      response.writeHead(status, { etag: '"x"' }).end();
      return true;
    };
    await expect(download()).rejects.toThrow(`the hub answered ${status}`);
  });
});

describe('the description of a repository', () => {
  it.each<[what: string, body: () => string | Buffer, message: string]>([
    ['is not JSON', () => '<html>', 'not a description'],
    ['is null', () => 'null', 'not a description'],
    ['is a number', () => '5', 'not a description'],
    ['has no files', () => JSON.stringify({ sha: hub.commit }), 'not a description'],
    [
      'has files that are a record',
      () => JSON.stringify({ sha: hub.commit, siblings: {} }),
      'not a description',
    ],
    [
      'has a file without a name',
      () => JSON.stringify({ sha: hub.commit, siblings: [null] }),
      'not a description',
    ],
    ['has a number for a name', () => describing([5]), 'not a description'],
    ['has no commit', () => describing(['a'], '../..'), 'not a description'],
    ['does not end', () => Buffer.alloc(65 * 2 ** 20, 0x20), 'has more than 67108864 bytes'],
    ['unpacks without end', () => gzipSync(Buffer.alloc(65 * 2 ** 20, 0x20)), 'has more than 67108864 bytes'],
    [
      'has more files than any',
      () => describing(Array.from({ length: 200_001 }, (_, i) => `${i}`)),
      'more than 200000',
    ],
    ['leaves its folder', () => describing(['a', '../x']), 'not usable as a path'],
    ['starts at the root', () => describing(['/etc/passwd']), 'not usable as a path'],
    ['hides a folder above', () => describing(['a/../../x']), 'not usable as a path'],
    ['has backslashes', () => describing(['..\\x']), 'not usable as a path'],
    ['has a NUL', () => describing(['a\0b']), 'not usable as a path'],
    ['has a line end', () => describing(['a\nb']), 'not usable as a path'],
    ['has an empty name', () => describing(['']), 'not usable as a path'],
    ['has a folder without a name', () => describing(['a//b']), 'not usable as a path'],
    ['has a name that no disk holds', () => describing(['x'.repeat(256)]), 'not usable as a path'],
    [
      'has a file that is a folder',
      () => describing(['a', 'a/b']),
      '"a" as a file and as the folder of "a/b"',
    ],
    [
      'has a deep one',
      () => describing(['x/a/b/c', 'x/a']),
      '"x/a" as a file and as the folder of "x/a/b/c"',
    ],
  ])('is refused when it %s', async (what, body, message) => {
    listing(body(), what.includes('unpacks') ? { 'content-encoding': 'gzip' } : {});
    await expect(download()).rejects.toThrow(HubError);
    await expect(download()).rejects.toThrow(message);
    expect(cached()).toEqual([]);
  });

  it('may name a file twice', async () => {
    listing(describing(['config.json', 'config.json']));
    expect(readdirSync(await download())).toEqual(['config.json']);
  });

  it('may clash with a folder that is already there, and says so', async () => {
    const folder = join(cacheDir, 'models--org--tiny', 'snapshots', hub.commit);
    mkdirSync(join(folder, 'config.json'), { recursive: true });
    await expect(download()).rejects.toThrow('of another kind is in the way');
    rmSync(join(folder, 'config.json'), { recursive: true });
    listing(describing(['config.json/x']));
    writeFileSync(join(folder, 'config.json'), '');
    hub.intercept = ((before) => (request, response) => {
      if (request.url!.endsWith('/config.json/x')) {
        response
          .writeHead(200, { etag: '"x"', 'content-length': 1 })
          .end(request.method === 'HEAD' ? undefined : 'x');
        return true;
      }
      return before(request, response);
    })(hub.intercept);
    await expect(download()).rejects.toThrow('of another kind is in the way');
  });

  it.each(['a--b/c', 'a/b--c', '../x', 'a/..', 'a\\b', 'a b'])(
    'is not asked for by the id %j',
    async (id) => {
      await expect(snapshotDownload(id, options())).rejects.toThrow(HubError);
      expect(hub.requests).toEqual([]);
    },
  );
});

describe('folders from the environment', () => {
  const cases: [env: Record<string, string>, cacheDir: string][] = [
    [{ HF_HOME: '~/.cache/huggingface' }, '/home/me/.cache/huggingface/hub'],
    [{ HF_HOME: '~' }, '/home/me/hub'],
    [{ HF_HOME: '$DATA/hf' }, '/data/hf/hub'],
    [{ HF_HUB_CACHE: ['$', '{DATA}/models'].join('') }, '/data/models'],
    [{ HUGGINGFACE_HUB_CACHE: '~/models' }, '/home/me/models'],
    [{ XDG_CACHE_HOME: '~/cache' }, '/home/me/cache/huggingface/hub'],
    [{ HF_HOME: '$NOBODY/x' }, '$NOBODY/x/hub'],
    [{ HF_HOME: '/a/~/b' }, '/a/~/b/hub'],
    [{ HF_HOME: '' }, join(homedir(), '.cache', 'huggingface', 'hub')],
    [{ HF_HOME: '/a', HF_HUB_CACHE: '' }, '/a/hub'],
  ];
  it.each(cases)('are expanded as Python does: %j', async (env, expected) => {
    const settings = await hubSettings({ token: 'x' }, { HOME: '/home/me', DATA: '/data', ...env });
    expect(settings.cacheDir).toBe(expected);
  });

  it('hold the token too', async () => {
    writeFileSync(join(cacheDir, 'secret'), 'hf_stored\n');
    const env = { HOME: cacheDir, HF_TOKEN_PATH: '~/secret', HF_TOKEN: '' };
    expect((await hubSettings({}, env)).token).toBe('hf_stored');
    expect(existsSync(join(cacheDir, '~'))).toBe(false);
  });
});
