/** Serves the page of one or more runs, which follows them by server-sent events. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { refusedOrigin } from '@flow-grpo/rewards/origin';
import type { RunPerson } from '../human/run-person';
import { questionsOf, takeAnswer } from './answers';
import { markOf } from './app/mark';
import { pageAssets } from './assets';
import { pageOfFiles } from './document';
import { withoutPaths } from './paths';
import { newsSince, type ReadRunOptions, readRun } from './read-run';
import type { LiveData, RunData } from './run-data';
import { readSample } from './run-records';

export interface UiOptions {
  /** 0 takes any free one. */
  readonly port?: number;
  /** Who may connect: this machine alone by default; 0.0.0.0 lets everyone who reaches it. */
  readonly host?: string;
  /** Further names by which pages may ask; this machine's own and addresses always may. */
  readonly allowedHosts?: readonly string[];
  /** Whose answers the page takes: the only thing that a request can change. */
  readonly person?: RunPerson | undefined;
}

export interface UiServer {
  readonly url: string;
  /** Shows a line of text above the page; the last one of a burst wins. */
  status(text: string): void;
  /** A folder has something new: open pages load it. */
  changed(): void;
  /** Tells open pages that the run has ended, and frees the port; connections that stay open are cut. */
  close(finalMessage: string): Promise<void>;
}

/** Status lines are sent at most this often: progress comes faster than anyone reads. */
const STATUS_MS = 200;
/** Pages are told of news at most this often, and so seldom that reading takes a tenth of the time. */
const NEWS_MS = 1000;
const NEWS_READINGS = 10;
/** Questions come in groups: pages are told once. */
const QUESTIONS_MS = 50;
/** How long an open page has to read the end of the run. */
const CLOSING_MS = 2000;
/** Pages that may be open at a time, and connections under way. */
const MAX_PAGES = 64;
const MAX_CONNECTIONS = 512;
/** Bytes that a page may leave unread; one that does not read is hung up on, and asks again if it wakes. */
const MAX_UNREAD = 2 ** 20;

/** Nothing but the page's own script, style and images, whatever a prompt holds. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'";
const TYPES: Readonly<Record<string, string>> = { png: 'image/png', jpg: 'image/jpeg' };

/**
 * Starts the server. It reads the runs' folders, and answers to no request that could change or end a run: `/`, `/app.js`,
 * `/style.css`, `/data` (what a page does not have yet), `/events`, and `/runs/PLACE/samples/FILE`. With a person, who is part
 * of the reward, there are `/questions` and `/answers` besides.
 *
 * @param folders of the runs, which the page lays over each other
 * @throws when the port is taken, saying which.
 */
export async function serveRuns(folders: readonly string[], options: UiOptions = {}): Promise<UiServer> {
  const { port = 0, host = '127.0.0.1', allowedHosts = [], person } = options;
  const assets = await pageAssets();
  const listeners = new Set<ServerResponse>();
  let runs: Promise<RunData[]> | undefined;
  let status = 'Waiting for the first epoch';
  let pending: NodeJS.Timeout | undefined;
  let sentAt = Number.NEGATIVE_INFINITY;
  let news: NodeJS.Timeout | undefined;
  let notifiedAt = Number.NEGATIVE_INFINITY;
  let reading = 0; // milliseconds that the runs took to be read

  const send = (to: Iterable<ServerResponse>, event: string, data: unknown) => {
    const text = `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    for (const response of to) {
      if (response.writableLength > MAX_UNREAD) response.destroy();
      else response.write(text);
    }
  };
  // Read when asked for: a run that nobody looks at costs nothing. Several pages share one reading.
  const currentRuns = () => {
    runs ??= readRuns().catch((error: Error) => {
      runs = undefined;
      throw error;
    });
    return runs;
  };
  const readRuns = async () => {
    const started = performance.now();
    const read = await Promise.all(folders.map((folder, i) => readRun(folder, { address: addressIn(i) })));
    reading = performance.now() - started;
    return read;
  };
  const newsOf = async (marks: readonly string[]): Promise<LiveData> => {
    const current = await currentRuns();
    return { runs: current.map((run, i) => newsSince(run, knownEpochs(run, marks[i]))) };
  };
  const sendNews = () => {
    news = undefined;
    notifiedAt = performance.now();
    send(listeners, 'changed', null);
  };
  const sendStatus = () => {
    pending = undefined;
    sentAt = performance.now();
    send(listeners, 'status', status);
  };

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    // Not by URL: it throws at what is no address, and a request may say anything.
    const [path = '', query = ''] = (request.url ?? '/').split(/[?#]/);
    const reply = (code: number, type: string, body: string | Buffer, cache = 'no-store') =>
      response
        .writeHead(code, {
          'content-type': type,
          'cache-control': cache,
          'content-security-policy': POLICY,
          'x-content-type-options': 'nosniff',
          connection: 'close', // so that nothing is left open when the run ends
        })
        .end(request.method === 'HEAD' ? undefined : body);
    const text = (code: number, message: string) => reply(code, 'text/plain; charset=utf-8', message);
    const { host: named, origin, 'sec-fetch-site': site } = request.headers;
    const refused = refusedOrigin(
      { host: named, origin, site: onlyText(site) },
      host,
      allowedHosts,
      '--ui-allow-host',
    );
    if (refused !== undefined) return text(403, refused);
    if (person && path === '/answers' && request.method === 'POST') {
      const { code, message } = await takeAnswer(person, request);
      return text(code, message);
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'only GET');
    if (path === '/') {
      const html = pageOfFiles('Flow-GRPO run', 'style.css', ['app.js']);
      return reply(200, 'text/html; charset=utf-8', html);
    }
    if (path === '/app.js') return reply(200, 'text/javascript; charset=utf-8', assets.script);
    if (path === '/style.css') return reply(200, 'text/css; charset=utf-8', assets.style);
    if (path === '/data') {
      const marks = new URLSearchParams(query).getAll('have');
      return await newsOf(marks).then(
        (data) => reply(200, 'application/json', JSON.stringify(data)),
        (error: Error) => text(500, withoutPaths(error.message)),
      );
    }
    if (path === '/events') {
      if (listeners.size >= MAX_PAGES) return text(503, `${MAX_PAGES} pages are open already`);
      response.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        connection: 'close',
      });
      listeners.add(response);
      response.on('close', () => listeners.delete(response));
      send([response], 'status', status);
      if (person) send([response], 'questions', null);
      return;
    }
    if (person && path === '/questions')
      return reply(200, 'application/json', JSON.stringify(questionsOf(person)));
    const [, asked] = /^\/questions\/(\w+)\.png$/.exec(path) ?? [];
    const png = asked && person?.waiting.find(({ question }) => question.key === asked)?.png;
    if (png) return reply(200, 'image/png', png);
    const [, place, name, ending] = /^\/runs\/(\d{1,4})\/samples\/([\w-]+\.(png|jpg))$/.exec(path) ?? [];
    const folder = folders[Number(place ?? -1)];
    const file = folder === undefined ? undefined : await readSample(folder, name!);
    if (file) return reply(200, TYPES[ending!]!, file, 'private, max-age=3600');
    return text(404, 'not found');
  };

  // Whatever goes wrong with a request is that request's alone: the run goes on.
  const server = createServer((request, response) => {
    request.on('error', () => {});
    response.on('error', () => {});
    answer(request, response).catch(() => response.destroy());
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.on('error', () => {}); // e.g. no file descriptors left for a connection
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE'
          ? new Error(`port ${port} is in use; give another, or 0 for any free one`)
          : error,
      ),
    );
    server.listen(port, host, resolve);
  });
  server.unref(); // a run that fails must not hang on its page
  let asking: NodeJS.Timeout | undefined;
  person?.onChange(() => {
    asking ??= setTimeout(() => {
      asking = undefined;
      send(listeners, 'questions', null);
    }, QUESTIONS_MS).unref();
  });
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}/`,
    status(text) {
      status = withoutPaths(text);
      pending ??= setTimeout(sendStatus, Math.max(0, sentAt + STATUS_MS - performance.now())).unref();
    },
    changed() {
      runs = undefined;
      const wait = Math.max(NEWS_MS, NEWS_READINGS * reading);
      news ??= setTimeout(sendNews, Math.max(0, notifiedAt + wait - performance.now())).unref();
    },
    async close(finalMessage) {
      clearTimeout(pending);
      clearTimeout(news);
      clearTimeout(asking);
      runs = undefined;
      // With the event goes all of the run: a page could not load it any more.
      const data = listeners.size > 0 ? await newsOf([]).catch(() => undefined) : undefined;
      send(listeners, 'end', { text: withoutPaths(finalMessage), data });
      await pagesClosed(listeners);
      const closed = new Promise((resolve) => server.close(resolve));
      for (const response of listeners) response.end();
      // A client that never reads, or never ends its request, must not hold up the end of the run.
      const cut = setTimeout(() => server.closeAllConnections(), CLOSING_MS);
      await closed;
      clearTimeout(cut);
    },
  };
}

/** Where a run's files are served; a file that is drawn anew, after a rollback, has another address. */
const addressIn =
  (place: number): ReadRunOptions['address'] =>
  (file, { seconds }) =>
    `runs/${place}/${file}?v=${seconds}`;

/** The first epoch that a page lacks, by the mark of the last one it has: 0 where the run has drawn that one anew. */
function knownEpochs(run: RunData, mark: string | undefined): number {
  const epoch = Number.parseInt(mark ?? '', 10);
  const place = run.metrics.epoch!.indexOf(epoch);
  return place >= 0 && markOf(run, place) === mark ? epoch + 1 : 0;
}

/** Pages hang up once they have the last images; settles after a while whatever they do. */
async function pagesClosed(listeners: ReadonlySet<ServerResponse>): Promise<void> {
  const hungUp = [...listeners].map((response) => new Promise((resolve) => response.once('close', resolve)));
  let timer: NodeJS.Timeout | undefined;
  const waited = new Promise((resolve) => {
    timer = setTimeout(resolve, CLOSING_MS);
  });
  await Promise.race([Promise.all(hungUp), waited]);
  clearTimeout(timer);
}

const onlyText = (value: string | string[] | undefined) => (Array.isArray(value) ? value.join() : value);
