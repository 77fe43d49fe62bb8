import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as a stand-in hub saw it. */
export interface HubRequest {
  method: string;
  url: string;
  range: string | undefined;
  authorization: string | undefined;
}

/** The file types that the hub keeps in large-file storage. */
const LARGE = /\.(safetensors|bin|pth)$/;

export const gitBlobId = (bytes: Uint8Array): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/**
 * A server that speaks the Hugging Face hub's protocol: a repository's description, `resolve` with ETags, and large files
 * behind a redirect to storage of another origin, which knows ranges.
 */
export class StandInHub {
  /** The commit that `main` of every repository points to. */
  readonly commit = 'a'.repeat(40);
  readonly requests: HubRequest[] = [];
  /** Cut the connection after this many bytes of a large file, once for each entry. */
  cuts: number[] = [];
  /** Without this token everything is refused. */
  token: string | undefined;
  /** What the storage sends in place of a file, by its path `org/name/file`. */
  readonly instead = new Map<string, Uint8Array>();
  /** Sees every request first; one that it answers itself (by returning true) goes no further. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;
  private readonly hub: Server;
  private readonly storage: Server;

  /** @param repos the files of each repository by name, and the repositories by `org/name` */
  constructor(readonly repos: Readonly<Record<string, Readonly<Record<string, Uint8Array>>>>) {
    this.storage = createServer((request, response) => this.store(request, response));
    this.hub = createServer((request, response) => this.answer(request, response));
  }

  async start(): Promise<void> {
    for (const server of [this.storage, this.hub]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    }
  }

  async stop(): Promise<void> {
    for (const server of [this.storage, this.hub]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  get endpoint(): string {
    return originOf(this.hub);
  }

  /** The requests for the bytes of large files. */
  get downloads(): HubRequest[] {
    return this.requests.filter(({ method, url }) => method === 'GET' && url.startsWith('/storage/'));
  }

  private note({ method = '', url = '', headers }: IncomingMessage): void {
    this.requests.push({ method, url, range: headers.range, authorization: headers.authorization });
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    this.note(request);
    if (this.intercept(request, response)) return;
    if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`) {
      return void response.writeHead(401).end();
    }
    // Data sets are served as the model of the same name.
    const url = (request.url ?? '').replace('/api/datasets/', '/api/models/').replace(/^\/datasets\//, '/');
    const described = /^\/api\/models\/(.+)\/revision\/main$/.exec(url)?.[1];
    const [, name = '', file = ''] =
      new RegExp(`^/([^/]+/[^/]+)/resolve/${this.commit}/(.+)$`).exec(url) ?? [];
    const bytes = this.repos[name]?.[file];
    if (described !== undefined && this.repos[described]) {
      const siblings = Object.keys(this.repos[described]).map((rfilename) => ({ rfilename }));
      response.end(JSON.stringify({ id: described, sha: this.commit, siblings }));
    } else if (!bytes) {
      response.writeHead(404).end();
    } else if (LARGE.test(file)) {
      const headers = {
        location: `${originOf(this.storage)}/storage/${name}/${file}`,
        'x-linked-etag': `"${sha256(bytes)}"`,
        'x-linked-size': bytes.length,
      };
      response.writeHead(302, headers).end();
    } else {
      response.writeHead(200, { etag: `"${gitBlobId(bytes)}"`, 'content-length': bytes.length });
      response.end(request.method === 'HEAD' ? undefined : bytes);
    }
  }

  private store(request: IncomingMessage, response: ServerResponse): void {
    this.note(request);
    if (this.intercept(request, response)) return;
    const path = (request.url ?? '').slice('/storage/'.length);
    const [org, name, ...rest] = path.split('/');
    const bytes = this.instead.get(path) ?? this.repos[`${org}/${name}`]?.[rest.join('/')];
    if (!bytes) return void response.writeHead(404).end();
    const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const body = bytes.subarray(start);
    if (start > 0 && start >= bytes.length) return void response.writeHead(416).end();
    const range = start > 0 && { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
    const headers = { etag: '"storage"', 'content-length': body.length, ...range };
    response.writeHead(start > 0 ? 206 : 200, headers);
    if (request.method === 'HEAD') return void response.end();
    const cut = this.cuts.shift();
    if (cut === undefined) response.end(body);
    else response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 20));
  }
}

const originOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
