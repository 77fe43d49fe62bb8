import pRetry from 'p-retry';
import { request } from 'undici';

export interface RemoteOptions {
  /** Where the server listens, such as `http://127.0.0.1:18085`. */
  url: string;
  /** Most images a request; batches are cut into nearly equal parts. Default 64. */
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
  /** Told of each failed attempt, for logs. */
  onRetry?: (error: Error) => void;
}

/** A server that answered with an error. */
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

async function attempt(body: Uint8Array, options: RemoteOptions, signal: AbortSignal): Promise<Uint8Array> {
  const { url, headers, timeout = 120_000, maxResponseBytes = 32 * 2 ** 20 } = options;
  const answer = await request(url, {
    method: 'POST',
    body,
    headers,
    signal,
    headersTimeout: timeout,
    bodyTimeout: timeout,
  });
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxResponseBytes) {
      throw new RemoteError(
        `The answer of ${url} is larger than ${maxResponseBytes} bytes`,
        answer.statusCode,
      );
    }
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  if (answer.statusCode !== 200) {
    const text = bytes.toString('utf8').trim().slice(-500);
    throw new RemoteError(`${url} answered with status ${answer.statusCode}: ${text}`, answer.statusCode);
  }
  return bytes;
}
