import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolder } from '../make-folder';
import { type RemoteFile, refusal, request } from './client';
import { locked } from './download-lock';
import type { HubSettings } from './environment';
import { HubError } from './hub-error';

/** Broken connections are taken up where they stopped; this many in a row without a byte end the attempt. */
const MAX_FRUITLESS_ATTEMPTS = 4;
const RETRY_MILLISECONDS = 200;

/** Of a file whose size the hub does not tell: large files are announced, others are small. */
const MAX_UNANNOUNCED_BYTES = 2 ** 30;

/** What is on the disk does not fit what the hub has: the download starts again from its first byte. */
class StartAgain extends Error {}

/**
 * Fetches a file to `blob`, unless another process that shares the cache is doing it: then it waits for that. Bytes collect
 * in `blob.incomplete`, which a later call or a broken connection continues by a range request; the checksum is compared
 * before the file gets its name. A partial file that the hub cannot resume is dropped and downloaded again. Throws a {@link
 * HubError}; a file with a wrong checksum is deleted.
 *
 * @param onBytes called with the bytes on disk and the size, where known
 * @param maxBytes of a file whose size is not announced
 */
export async function downloadBlob(
  settings: HubSettings,
  remote: RemoteFile,
  blob: string,
  onBytes: (received: number, size: number | undefined) => void,
  signal?: AbortSignal,
  maxBytes = MAX_UNANNOUNCED_BYTES,
): Promise<void> {
  makeFolder(dirname(blob));
  const isThere = async () => {
    const size = await stat(blob).then(
      (info) => info.size,
      () => undefined,
    );
    return size !== undefined && size === (remote.size ?? size);
  };
  await locked(blob, isThere, () => fetchTo(settings, remote, blob, onBytes, maxBytes, signal), signal);
}

async function fetchTo(
  settings: HubSettings,
  remote: RemoteFile,
  blob: string,
  onBytes: (received: number, size: number | undefined) => void,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<void> {
  const partial = `${blob}.incomplete`;
  if (remote.size !== undefined && (await sizeOf(partial)) > remote.size) await rm(partial);
  let restarts = 0;
  for (let fruitless = 0; ; ) {
    const before = await sizeOf(partial);
    if (remote.size !== undefined && before === remote.size && (before > 0 || (await exists(partial)))) break;
    try {
      await append(settings, remote, partial, before, onBytes, maxBytes, signal);
      break;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof StartAgain) {
        await rm(partial, { force: true });
        if (++restarts < MAX_FRUITLESS_ATTEMPTS) continue;
        throw new HubError(`${remote.url}: broken off ${restarts} times, and the hub does not continue`);
      }
      const refused = error instanceof HubError && error.status !== undefined && error.status < 500;
      fruitless = (await sizeOf(partial)) > before ? 0 : fruitless + 1;
      if (refused || fruitless >= MAX_FRUITLESS_ATTEMPTS) throw asHubError(remote, error);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS * 2 ** fruitless));
    }
  }
  const size = await sizeOf(partial);
  if (remote.size !== undefined && size !== remote.size) {
    await rm(partial);
    throw new HubError(`${remote.url}: got ${size} bytes where ${remote.size} were announced`);
  }
  if (!(await matches(partial, size, remote.etag))) {
    await rm(partial);
    throw new HubError(
      `${remote.url}: the checksum is not ${remote.etag}; the download was deleted, try again`,
    );
  }
  await rename(partial, blob);
}

async function append(
  settings: HubSettings,
  remote: RemoteFile,
  partial: string,
  start: number,
  onBytes: (received: number, size: number | undefined) => void,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<void> {
  const headers: Record<string, string> = { 'accept-encoding': 'identity' };
  if (start > 0) headers.range = `bytes=${start}-`;
  const response = await request(settings, remote.url, signal ? { headers, signal } : { headers });
  if (start > 0 && cannotContinue(response, start)) {
    await response.body?.cancel();
    throw new StartAgain();
  }
  if (!response.ok || !response.body) throw refusal(remote.url, response);
  // A server without ranges sends everything: start over.
  const resumed = response.status === 206 && start > 0;
  const handle = await open(partial, resumed ? 'a' : 'w');
  try {
    let received = resumed ? start : 0;
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      await handle.write(chunk);
      received += chunk.length;
      if (remote.size !== undefined && received > remote.size) break; // refused by its size afterwards
      if (remote.size === undefined && received > maxBytes) throw tooLarge(remote, maxBytes);
      onBytes(received, remote.size);
    }
    await handle.sync();
  } catch (error) {
    if (error instanceof HubError) await rm(partial, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
}

/** The range is beyond the file, or what comes is another part of it, or packed. */
function cannotContinue({ status, headers }: Response, start: number): boolean {
  if (status === 416) return true;
  if (status !== 206) return false;
  const from = /^bytes (\d+)-/.exec(headers.get('content-range') ?? '')?.[1];
  const packed = (headers.get('content-encoding') ?? 'identity') !== 'identity';
  return packed || (from !== undefined && Number(from) !== start);
}

/** What fetch throws of a connection says little; errors of the disk say enough. */
const asHubError = ({ url }: RemoteFile, error: unknown): unknown =>
  error instanceof TypeError
    ? new HubError(`${url}: the download broke off: ${error.message}`, undefined, { cause: error })
    : error;

const tooLarge = ({ url }: RemoteFile, maxBytes: number) =>
  new HubError(`${url}: the hub announces no size and sends more than ${maxBytes} bytes`, 200);

/** Whether a file has the checksum its ETag is; ETags of other kinds prove nothing and pass. */
async function matches(path: string, size: number, etag: string): Promise<boolean> {
  let hash: Hash;
  if (/^[0-9a-f]{64}$/.test(etag)) hash = createHash('sha256');
  else if (/^[0-9a-f]{40}$/.test(etag)) hash = createHash('sha1').update(`blob ${size}\0`);
  else return true;
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 }))
    hash.update(chunk as Uint8Array);
  return hash.digest('hex') === etag;
}

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
