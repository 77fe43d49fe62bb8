import { promisify } from 'node:util';
import { type BrotliOptions, brotliDecompress, gunzip, inflate, type ZlibOptions } from 'node:zlib';
import pRetry from 'p-retry';
import type { Dispatcher } from 'undici';
import { plainText } from '../plain-text';

export interface RemoteOptions {
  /** Where the server listens, such as `http://127.0.0.1:18085`. */
  url: string;
  /** most images per request; batches are cut into nearly equal parts. Default 64. */
  batchSize?: number;
  /** Requests under way at once. Default 4. */
  concurrency?: number;
  /** Further attempts of a request. Default 20. */
  retries?: number;
  /** First pause between attempts in milliseconds; doubles up to a minute, with jitter. Default 500. */
  pause?: number;
  /** Milliseconds an attempt may take. Default 120 000. */
  timeout?: number;
  /** Largest answer in bytes. Default 32 MiB. */
  maxResponseBytes?: number;
  /** Sent with each request, for servers behind a proxy. */
  headers?: Record<string, string>;
  /** Called with each failed attempt, for logs. */
  onRetry?: (error: Error) => void;
}

/** A server answered with an error status. */
export class RemoteError extends Error {
  override readonly name = 'RemoteError';
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** Answers that another attempt may better: overload, restarts, and flow_grpo's own 500. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

/**
 * Sends a body and gives the answer's. Tries again after connection failures, timeouts, bodies that end early
 * and passing statuses; not after other statuses.
 *
 * @throws RemoteError, an error that the server cannot be reached, or the signal's reason
 */
export async function post(
  body: Uint8Array,
  options: RemoteOptions,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const { url, retries = 20, pause = 500, timeout = 120_000 } = options;
  return pRetry(
    async () => {
      const deadline = AbortSignal.timeout(timeout);
      const either = signal ? AbortSignal.any([signal, deadline]) : deadline;
      return await attempt(body, options, either);
    },
    {
      retries,
      minTimeout: pause,
      maxTimeout: 60_000,
      randomize: true,
      signal,
      shouldRetry: ({ error }) =>
        !signal?.aborted && (!(error instanceof RemoteError) || PASSING.has(error.status)),
      onFailedAttempt: ({ error }) => options.onRetry?.(error),
    },
  ).catch((error: unknown) => {
    signal?.throwIfAborted();
    if (error instanceof Error && !(error instanceof RemoteError)) {
      throw new Error(`The reward server at ${url} cannot be reached: ${error.message}`, { cause: error });
    }
    throw error;
  });
}

/** How often a server may pass a request on. */
const MAX_REDIRECTS = 5;

/** One attempt; permanent and temporary redirects that keep the method (307, 308) are followed. */
async function attempt(body: Uint8Array, options: RemoteOptions, signal: AbortSignal): Promise<Uint8Array> {
  const { request } = await import('undici');
  const { timeout = 120_000 } = options;
  let url = new URL(options.url);
  let headers = options.headers;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const answer = await request(url, {
      method: 'POST',
      body,
      headers: { 'accept-encoding': 'gzip, deflate, br', ...headers },
      signal,
      headersTimeout: timeout,
      bodyTimeout: timeout,
    });
    const bytes = await bodyOf(answer, options);
    const { statusCode: status } = answer;
    if (status === 200) return bytes;
    const location = firstOf(answer.headers.location);
    if (status !== 307 && status !== 308) {
      const moved = location === undefined ? '' : ` and names ${plainText(location).slice(0, 500)}`;
      const text = plainText(bytes.toString('utf8')).trim().slice(-500);
      throw new RemoteError(`${options.url} answered with status ${status}${moved}: ${text}`, status);
    }
    const next = location === undefined ? undefined : targetOf(location, url);
    if (next === undefined) {
      throw new RemoteError(`${options.url} answered with status ${status} and no usable address`, status);
    }
    // What is meant for one server, such as a key, is not shown to another.
    if (next.origin !== url.origin) headers = contentType(headers);
    url = next;
  }
  throw new RemoteError(`${options.url} redirected the request more than ${MAX_REDIRECTS} times`, 308);
}

function targetOf(location: string, from: URL): URL | undefined {
  try {
    const target = new URL(location, from);
    return /^https?:$/.test(target.protocol) ? target : undefined;
  } catch {
    return undefined;
  }
}

const contentType = (headers: Record<string, string> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() === 'content-type'));

const firstOf = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value[0] : value;

/** The whole body, decompressed; what it holds is bounded too. */
async function bodyOf(answer: Dispatcher.ResponseData, options: RemoteOptions): Promise<Buffer> {
  const { url, maxResponseBytes = 32 * 2 ** 20 } = options;
  const tooLarge = () =>
    new RemoteError(`The answer of ${url} is larger than ${maxResponseBytes} bytes`, answer.statusCode);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxResponseBytes) throw tooLarge();
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  const encoding = (firstOf(answer.headers['content-encoding']) ?? 'identity').trim().toLowerCase();
  if (encoding === 'identity' || bytes.length === 0) return bytes;
  const decompress = DECODERS[encoding];
  if (!decompress) {
    throw new RemoteError(
      `The answer of ${url} has the content encoding ${plainText(encoding).slice(0, 50)}, which is not known`,
      answer.statusCode,
    );
  }
  try {
    return await decompress(bytes, { maxOutputLength: maxResponseBytes });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge();
    throw new Error(`its answer is broken ${encoding}: ${(error as Error).message}`, { cause: error });
  }
}

type Decompress = (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;
const DECODERS: Readonly<Record<string, Decompress>> = {
  gzip: promisify<Buffer, ZlibOptions, Buffer>(gunzip),
  'x-gzip': promisify<Buffer, ZlibOptions, Buffer>(gunzip),
  deflate: promisify<Buffer, ZlibOptions, Buffer>(inflate),
  br: promisify<Buffer, BrotliOptions, Buffer>(brotliDecompress),
};
