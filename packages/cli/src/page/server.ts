/** Serves a run's report while it trains: one page that follows the run by server-sent events. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { htmlSections } from '../report/html';
import { runSections } from '../report/run-report';
import { livePage } from './live-page';

export interface UiOptions {
  /** 0 takes any free one. */
  readonly port?: number;
  /** Who may connect: this machine alone by default; 0.0.0.0 lets everyone who reaches it. */
  readonly host?: string;
}

export interface UiServer {
  readonly url: string;
  /** Shows a line of text above the report; the last one of a burst wins. */
  status(text: string): void;
  /** The folder has something new: open pages load the report again. */
  changed(): void;
  /** Tells open pages that the run has ended, and frees the port; connections that stay open are cut. */
  close(finalMessage: string): Promise<void>;
}

/** Status lines are sent at most this often: progress comes faster than anyone reads. */
const STATUS_MS = 200;
/** Pages are told of news at most this often, and so seldom that drawing takes a tenth of the time. */
const NEWS_MS = 1000;
const NEWS_DRAWINGS = 10;
/** How long an open page has to read the end of the run. */
const CLOSING_MS = 2000;

/**
 * Starts the server. The page has no other parts than itself, `/report` (the report's sections) and `/events`.
 *
 * @throws when the port is taken, saying which.
 */
export async function serveRun(folder: string, options: UiOptions = {}): Promise<UiServer> {
  const { port = 0, host = '127.0.0.1' } = options;
  const listeners = new Set<ServerResponse>();
  let report: Promise<string> | undefined;
  let status = 'Waiting for the first epoch';
  let pending: NodeJS.Timeout | undefined;
  let sentAt = Number.NEGATIVE_INFINITY;
  let news: NodeJS.Timeout | undefined;
  let notifiedAt = Number.NEGATIVE_INFINITY;
  let drawing = 0; // milliseconds the last report took

  const send = (to: Iterable<ServerResponse>, event: string, data: unknown) => {
    for (const response of to) response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  };
  // Made when asked for: a run that nobody looks at draws nothing. Several pages share one drawing.
  const currentReport = () => {
    report ??= drawReport().catch((error: Error) => {
      report = undefined;
      throw error;
    });
    return report;
  };
  const drawReport = async () => {
    const started = performance.now();
    const html = htmlSections(await runSections(folder));
    drawing = performance.now() - started;
    return html;
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
    const [path] = (request.url ?? '/').split(/[?#]/);
    const reply = (code: number, type: string, body: string) =>
      response
        .writeHead(code, {
          'content-type': `${type}; charset=utf-8`,
          'cache-control': 'no-store',
          connection: 'close', // so that nothing is left open when the run ends
        })
        .end(request.method === 'HEAD' ? undefined : body);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      reply(405, 'text/plain', 'only GET');
    } else if (path === '/') {
      reply(200, 'text/html', livePage());
    } else if (path === '/report') {
      await currentReport().then(
        (html) => reply(200, 'text/html', html),
        (error: Error) => reply(500, 'text/plain', error.message),
      );
    } else if (path === '/events') {
      response.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        connection: 'close',
      });
      listeners.add(response);
      response.on('close', () => listeners.delete(response));
      send([response], 'status', status);
    } else {
      reply(404, 'text/plain', 'not found');
    }
  };
  // Whatever goes wrong with a request is that request's alone: the run goes on.
  const server = createServer((request, response) => {
    request.on('error', () => {});
    response.on('error', () => {});
    answer(request, response).catch(() => response.destroy());
  });
  server.on('error', () => {}); // e.g. no file descriptors left for a connection
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE' ? new Error(`port ${port} is taken; give another, or 0 for any`) : error,
      ),
    );
    server.listen(port, host, resolve);
  });
  server.unref(); // a run that fails must not hang on its page
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}/`,
    status(text) {
      status = text;
      pending ??= setTimeout(sendStatus, Math.max(0, sentAt + STATUS_MS - performance.now())).unref();
    },
    changed() {
      report = undefined;
      const wait = Math.max(NEWS_MS, NEWS_DRAWINGS * drawing);
      news ??= setTimeout(sendNews, Math.max(0, notifiedAt + wait - performance.now())).unref();
    },
    async close(finalMessage) {
      clearTimeout(pending);
      clearTimeout(news);
      const closed = new Promise((resolve) => server.close(resolve));
      report = undefined;
      // With the event goes the last report: a page could not load it any more.
      const html = listeners.size > 0 ? await currentReport().catch(() => '') : '';
      send(listeners, 'end', { text: finalMessage, html });
      for (const response of listeners) response.end();
      // A client that never reads, or never ends its request, must not hold up the end of the run.
      const cut = setTimeout(() => server.closeAllConnections(), CLOSING_MS);
      await closed;
      clearTimeout(cut);
    },
  };
}
