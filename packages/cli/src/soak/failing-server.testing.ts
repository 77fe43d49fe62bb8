/** A reward server that does not always answer, and does so in as many ways as servers have. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Scorer, serveScorer } from '@flow-grpo/rewards';
import { pick, randomFrom } from '@flow-grpo/test-support/fuzz';

export interface FailingServer {
  readonly url: string;
  /** Share of calls that fail. */
  failing: number;
  readonly calls: number;
  readonly failed: number;
  close(): Promise<void>;
}

/** Stands before a server of `scorer` and lets some calls fail: errors, cut answers, cut connections. */
export async function failingServer(scorer: Scorer, seed = 1): Promise<FailingServer> {
  const behind = await serveScorer(scorer, { concurrency: 4 });
  const random = randomFrom(seed);
  const state = { failing: 0, calls: 0, failed: 0 };
  const server: Server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    try {
      for await (const part of request) parts.push(part as Buffer);
    } catch {
      return; // the client was killed
    }
    state.calls++;
    const fails = random(1000) < 1000 * state.failing;
    if (fails) state.failed++;
    const kind = fails ? pick(random, ['500', '503', 'cut connection', 'cut answer']) : 'answer';
    if (kind === 'cut connection') return void request.socket.destroy();
    if (kind === '500' || kind === '503') return void response.writeHead(Number(kind)).end('no');
    const headers = { 'content-type': request.headers['content-type'] ?? '' };
    const answer = await fetch(`${behind.url}${request.url}`, {
      method: 'POST',
      headers,
      body: Buffer.concat(parts),
    }).catch(() => undefined); // a kept connection that was closed meanwhile
    if (!answer) return void response.writeHead(502).end('no');
    const bytes = Buffer.from(await answer.arrayBuffer());
    response.writeHead(answer.status, { 'content-length': bytes.length });
    if (kind === 'answer') response.end(bytes);
    else response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(state, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await behind.close();
    },
  });
}
