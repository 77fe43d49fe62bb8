/** Pictures over HTTP: `POST /images` with `{ "prompt": … }` answers with a PNG. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { refusedOrigin } from '@flow-grpo/rewards/origin';
import type { Order } from './messages';
import { BusyError, type Studio } from './studio';

const MAX_BODY_BYTES = 16 * 1024;
const MAX_PROMPT = 1000;
const MAX_STEPS = 200;
/** Each may hold an order's body and a picture that its client has not read yet. */
const MAX_CONNECTIONS = 256;

/** A request that cannot be served, with its status. */
class RequestError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export interface ImageServerOptions {
  /** The name it listens at. */
  readonly hostname?: string;
  /** Further names by which clients reach it; addresses and this machine's own name always may. */
  readonly allowedHosts?: readonly string[];
}

/** The server of a studio; `listen` starts it. A client that goes away takes its order along. */
export function imageServer(studio: Studio, options: ImageServerOptions = {}): Server {
  const server = createServer((request, response) => {
    void answer(studio, request, response, options).catch(() => response.destroy());
  });
  server.maxConnections = MAX_CONNECTIONS;
  // A connection that cannot be taken, for want of file descriptors, is that client's loss alone.
  server.once('listening', () => server.on('error', () => {}));
  return server;
}

async function answer(
  studio: Studio,
  request: IncomingMessage,
  response: ServerResponse,
  { hostname = '127.0.0.1', allowedHosts = [] }: ImageServerOptions,
): Promise<void> {
  const left = new AbortController();
  response.once('close', () => left.abort());
  try {
    const { host, origin, 'sec-fetch-site': site } = request.headers;
    // Web pages of others must not use a service of this machine.
    const refused = refusedOrigin({ host, origin, site: site?.toString() }, hostname, allowedHosts);
    if (refused !== undefined) throw new RequestError(403, refused);
    const [pathname] = (request.url ?? '/').split('?'); // not an URL: "//" is none
    if (pathname === '/health')
      return send(response, 200, { waiting: studio.waiting, tensors: studio.tensors });
    if (pathname !== '/images') throw new RequestError(404, 'there is POST /images and GET /health');
    if (request.method !== 'POST') throw new RequestError(405, 'POST an order');
    const order = parseOrder(await bodyOf(request));
    const png = await studio.draw(order, left.signal);
    response.writeHead(200, { 'content-type': 'image/png', 'content-length': png.byteLength }).end(png);
  } catch (error) {
    if (left.signal.aborted) return; // nobody is there
    const status = error instanceof RequestError ? error.status : error instanceof BusyError ? 503 : 500;
    if (status === 503) response.setHeader('retry-after', '5');
    send(response, status, { error: (error as Error).message });
  }
}

function send(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(value)}\n`);
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request) {
    length += (part as Buffer).length;
    if (length > MAX_BODY_BYTES) throw new RequestError(413, `an order has at most ${MAX_BODY_BYTES} bytes`);
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** @throws {RequestError} naming the field that is wrong */
export function parseOrder(text: string): Order {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new RequestError(400, 'the request is not JSON');
  }
  if (typeof value !== 'object' || value === null)
    throw new RequestError(400, 'the request is not a JSON object');
  const { prompt, seed = 0, steps = 49 } = value as Record<string, unknown>;
  if (typeof prompt !== 'string' || prompt.trim() === '' || prompt.length > MAX_PROMPT)
    throw new RequestError(400, `prompt must be a text of 1 to ${MAX_PROMPT} characters`);
  if (/[\p{Surrogate}\0]/u.test(prompt))
    throw new RequestError(400, 'prompt must be text: it holds a NUL character, or half of a surrogate pair');
  if (!Number.isInteger(seed) || (seed as number) < 0 || (seed as number) >= 2 ** 31)
    throw new RequestError(400, 'seed must be a whole number from 0 to 2147483647');
  if (!Number.isInteger(steps) || (steps as number) < 1 || (steps as number) > MAX_STEPS)
    throw new RequestError(400, `steps must be a whole number from 1 to ${MAX_STEPS}`);
  return { prompt, seed: seed as number, steps: steps as number };
}
