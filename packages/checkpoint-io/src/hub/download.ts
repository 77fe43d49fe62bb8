import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type RemoteFile, refusal, request } from './client';
import type { HubSettings } from './environment';
import { HubError } from './hub-error';

/** Broken connections are taken up where they stopped; this many in a row without a byte end the attempt. */
const MAX_FRUITLESS_ATTEMPTS = 4;
const RETRY_MILLISECONDS = 200;

/**
 * Fetches a file to `blob`. Bytes collect in `blob.incomplete`, which a later call or a broken connection
 * continues by a range request; the checksum is compared before the file gets its name. Throws a
 * {@link HubError}; a file with a wrong checksum is deleted.
 *
 * @param onBytes called with the bytes on disk and the size, where known
 */
export async function downloadBlob(
  settings: HubSettings,
  remote: RemoteFile,
  blob: string,
  onBytes: (received: number, size: number | undefined) => void,
  signal?: AbortSignal,
): Promise<void> {
  const partial = `${blob}.incomplete`;
  await mkdir(dirname(blob), { recursive: true });
  for (let fruitless = 0; ; ) {
    const before = await sizeOf(partial);
    if (remote.size !== undefined && before === remote.size) break;
    try {
      await append(settings, remote, partial, before, onBytes, signal);
      break;
    } catch (error) {
      signal?.throwIfAborted();
      const refused = error instanceof HubError && error.status !== undefined && error.status < 500;
      fruitless = (await sizeOf(partial)) > before ? 0 : fruitless + 1;
      if (refused || fruitless >= MAX_FRUITLESS_ATTEMPTS) throw error;
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
  signal?: AbortSignal,
): Promise<void> {
  const headers: Record<string, string> = { 'accept-encoding': 'identity' };
  if (start > 0) headers.range = `bytes=${start}-`;
  const response = await request(settings, remote.url, signal ? { headers, signal } : { headers });
  // A server without ranges sends everything: start over.
  const resumed = response.status === 206 && start > 0;
  if (response.status === 416) await rm(partial, { force: true });
  if (!response.ok || !response.body) throw refusal(remote.url, response);
  const handle = await open(partial, resumed ? 'a' : 'w');
  try {
    let received = resumed ? start : 0;
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      await handle.write(chunk);
      received += chunk.length;
      if (remote.size !== undefined && received > remote.size) break; // refused by its size afterwards
      onBytes(received, remote.size);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

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
