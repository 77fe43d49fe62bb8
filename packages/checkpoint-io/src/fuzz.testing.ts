import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fixtureCases, readJson, StandInHub } from '@flow-grpo/test-support';
import { randomFrom, secondsSince } from '@flow-grpo/test-support/fuzz';
import { vi } from 'vitest';
import { CheckpointError, HubError, memorySource, openSource, snapshotDownload } from './index';

/** No single input may take more of the processor than this; whatever else runs on the machine does not count. */
const MAX_SECONDS = 10;
/** Fixed-size tables and headers, which a file of a few bytes cannot pay for. */
const FIXED_BYTES = 4096;

const EXTREMES = [0, 1, 0x7f, 0x80, 0xff];

/** One to four random edits: bits, extreme bytes and words, cuts, insertions, copies from elsewhere. */
function mutate(original: Buffer, random: (below: number) => number): Buffer {
  let bytes = Buffer.from(original);
  for (let edits = 1 + random(4); edits > 0 && bytes.length > 0; edits--) {
    const at = random(bytes.length);
    const length = 1 + random(Math.min(16, bytes.length - at));
    switch (random(7)) {
      case 0:
        bytes[at]! ^= 1 << random(8);
        break;
      case 1:
        bytes[at] = random(256);
        break;
      case 2:
        bytes.fill(EXTREMES[random(EXTREMES.length)]!, at, at + length);
        break;
      case 3:
        bytes = bytes.subarray(0, at);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 5:
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.alloc(length, random(256)), bytes.subarray(at)]);
        break;
      default: {
        const from = random(bytes.length - length + 1);
        bytes.copy(bytes, at, from, from + length);
      }
    }
  }
  return bytes;
}

/** Undamaged files: safetensors, zip and legacy pickles of the parity cases, and what torch.save wrote. */
export function checkpointOriginals(): Buffer[] {
  const cases = fixtureCases('checkpoints').flatMap(({ dir }) => {
    const { files } = readJson<{ files: Record<string, unknown> }>(dir, 'case.json');
    const bad = new Set(
      readJson<{ files: { file: string }[] }>(dir, 'bad.json').files.map(({ file }) => file),
    );
    const isFile = (file: string) => /\.(safetensors|pth|bin)$/.test(file) && !bad.has(file);
    return Object.keys(files)
      .filter(isFile)
      .map((name) => join(dir, name));
  });
  const folder = fileURLToPath(new URL('../test/data/torch', import.meta.url));
  const torch = readdirSync(folder).filter((name) => name.endsWith('.pt'));
  return [...cases, ...torch.sort().map((name) => join(folder, name))].map((path) => readFileSync(path));
}

async function readAll(bytes: Uint8Array): Promise<void> {
  const checkpoint = await openSource(memorySource('mutated', bytes));
  try {
    for (const name of checkpoint.names) await checkpoint.readValues(name);
  } finally {
    await checkpoint.close();
  }
}

/** Counts the largest array that is asked for by length from here on. */
function watchAllocations(): { largest: number } {
  const seen = { largest: 0 };
  for (const name of ['Uint8Array', 'Uint16Array', 'Uint32Array', 'Int32Array', 'Float32Array'] as const) {
    const original = globalThis[name];
    const watched: object = new Proxy(original, {
      construct(target, args, newTarget): object {
        if (typeof args[0] === 'number') {
          seen.largest = Math.max(seen.largest, args[0] * original.BYTES_PER_ELEMENT);
        }
        return Reflect.construct(target, args, newTarget === watched ? target : newTarget) as object;
      },
    });
    vi.stubGlobal(name, watched);
  }
  return seen;
}

/**
 * Reads mutated checkpoints, numbered from `first`. Throws, naming the number, when one is neither read nor refused with a
 * CheckpointError, or takes too much time or memory. Returns how many were refused.
 */
export async function fuzzCheckpoints(first: number, runs: number): Promise<number> {
  const originals = checkpointOriginals();
  for (const original of originals) await readAll(original).catch(() => {}); // fills the look-up tables
  const allocations = watchAllocations();
  let refused = 0;
  for (let run = first; run < first + runs; run++) {
    const bytes = mutate(originals[run % originals.length]!, randomFrom(run));
    allocations.largest = 0;
    const start = process.cpuUsage();
    const error = await readAll(bytes).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (error !== undefined) {
      refused++;
      if (!(error instanceof CheckpointError)) throw new Error(`run ${run}`, { cause: error });
    }
    if (secondsSince(start) > MAX_SECONDS) throw new Error(`run ${run} took too long`);
    if (allocations.largest > 10 * bytes.length + FIXED_BYTES) {
      throw new Error(`run ${run} asked for ${allocations.largest} bytes with a file of ${bytes.length}`);
    }
  }
  return refused;
}

const NAMES = [
  'config.json',
  'a',
  'a/b',
  '../x',
  '/x',
  '.',
  '',
  'a\\b',
  'x'.repeat(300),
  'model.safetensors',
  '\0',
  'é',
];
const VALUES: unknown[] = [
  null,
  0,
  -1,
  1e9,
  '',
  '..',
  [],
  {},
  true,
  'a'.repeat(40),
  [null],
  [{ rfilename: '../x' }],
];
const HEADERS: Record<string, readonly string[]> = {
  etag: [
    '',
    '""',
    '".."',
    '"../../x"',
    'W/"x"',
    '"x"',
    `"${'a'.repeat(40)}"`,
    `"${'0'.repeat(64)}"`,
    '"a b"',
  ],
  'x-linked-etag': ['', '".."', '"/etc"', `"${'f'.repeat(64)}"`],
  'x-linked-size': ['-1', '0', '5', '1e99', 'NaN', '9007199254740993'],
  location: [
    '/',
    '',
    'http://127.0.0.1:1/',
    'file:///etc/passwd',
    '//',
    'http://[',
    '/api/models/org/tiny/revision/main',
  ],
  'content-range': ['bytes 0-1/2', 'bytes */3', 'x', 'bytes 5-9/10'],
  'content-encoding': ['gzip', 'br', 'deflate', 'zstd', 'identity', 'x'],
  'content-type': ['text/html', 'application/json'],
};
const STATUSES = [200, 201, 204, 206, 300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 416, 429, 500, 503];

/** A hub that answers some of its requests otherwise than it should. */
function hostile(
  random: (below: number) => number,
  files: Readonly<Record<string, Uint8Array>>,
  commit: string,
) {
  const pick = <T>(items: readonly T[]): T => items[random(items.length)]!;
  const body = (): Buffer => {
    const siblings: unknown[] = [...Object.keys(files), pick(NAMES)].map((rfilename) => ({ rfilename }));
    if (random(3) === 0) siblings[random(siblings.length)] = pick(VALUES);
    const description: Record<string, unknown> = { sha: commit, siblings };
    if (random(3) === 0) description[pick(['sha', 'siblings'])] = pick(VALUES);
    const bytes = Buffer.from(JSON.stringify(random(8) === 0 ? pick(VALUES) : description) ?? '');
    return random(3) === 0 ? mutate(bytes, random) : bytes;
  };
  return (request: IncomingMessage, response: ServerResponse): boolean => {
    if (random(3) > 0) return false;
    const headers: Record<string, string> = {};
    for (const [name, values] of Object.entries(HEADERS)) if (random(4) === 0) headers[name] = pick(values);
    const isListing = request.url!.startsWith('/api/');
    try {
      response.writeHead(random(2) === 0 ? 200 : pick(STATUSES), headers);
    } catch {
      return false; // not even Node's server sends that
    }
    const bytes = isListing ? body() : mutate(Buffer.from(pick(Object.values(files))), random);
    if (request.method === 'HEAD') response.end();
    else if (random(6) > 0) response.end(bytes);
    else response.write(bytes, () => response.destroy());
    return true;
  };
}

/**
 * Downloads from hubs that send what they should not, numbered from `first`. Throws, naming the number, when a call ends
 * otherwise than with the files or a HubError, takes too long, or leaves something outside of its cache. Returns how many
 * were refused.
 */
export async function fuzzHub(first: number, runs: number): Promise<number> {
  const files = {
    'config.json': Buffer.from('{"hidden_size": 4}\n'),
    'model.safetensors': Buffer.alloc(3000, 7),
  };
  const root = mkdtempSync(join(tmpdir(), 'hub-fuzz-'));
  mkdirSync(join(root, 'cache'));
  const hub = new StandInHub({ 'org/tiny': files });
  await hub.start();
  // No waiting between attempts; other timers are fetch's own.
  const wait = globalThis.setTimeout as (run: () => void, ms?: number, ...args: unknown[]) => NodeJS.Timeout;
  const pauses = [200, 400, 800, 1600, 3200];
  vi.stubGlobal('setTimeout', (run: () => void, ms = 0, ...args: unknown[]) =>
    wait(run, pauses.includes(ms) ? 1 : ms, ...args),
  );
  let refused = 0;
  try {
    for (let run = first; run < first + runs; run++) {
      const cacheDir = join(root, 'cache', String(run));
      hub.intercept = hostile(randomFrom(run), files, hub.commit);
      const start = process.cpuUsage();
      const options = { endpoint: hub.endpoint, cacheDir, offline: false, token: 'x' };
      try {
        const folder = await snapshotDownload('org/tiny', options);
        readdirSync(folder);
      } catch (error) {
        refused++;
        if (!(error instanceof HubError)) throw new Error(`run ${run}`, { cause: error });
      }
      if (secondsSince(start) > MAX_SECONDS) throw new Error(`run ${run} took too long`);
      const strays = [readdirSync(root), readdirSync(join(root, 'cache'), { recursive: false })].flat();
      const known = new Set(['cache', String(run)]);
      if (strays.some((name) => !known.has(String(name)))) throw new Error(`run ${run} left ${strays}`);
      rmSync(cacheDir, { recursive: true, force: true });
    }
  } finally {
    await hub.stop();
    rmSync(root, { recursive: true });
  }
  return refused;
}
