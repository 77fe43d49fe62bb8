/** Reward servers for tests: the Python one of the parity cases, and ones that answer as they are told. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach } from 'vitest';

const running: (() => void)[] = [];
afterEach(() => {
  for (const end of running.splice(0)) end();
});

export interface PythonServer {
  url: string;
  port: number;
  child: ChildProcess;
  /** Requests and failures so far. */
  stats(): Promise<{ requests: number; failures: number }>;
}

/** Starts a case's fake_reward_server.py, which ends with the test. */
export async function pythonServer(dir: string, ...args: string[]): Promise<PythonServer> {
  const child = spawn('python3', [join(dir, 'fake_reward_server.py'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running.push(() => child.kill('SIGKILL'));
  const [line] = await once(createInterface(child.stdout!), 'line');
  const { port } = JSON.parse(line as string) as { port: number };
  const url = `http://127.0.0.1:${port}`;
  return { url, port, child, stats: async () => (await fetch(`${url}/stats`)).json() };
}

/** An HTTP server in this process, which ends with the test. */
export async function localServer(listener: RequestListener): Promise<string> {
  const http = createServer(listener);
  running.push(() => {
    http.close();
    http.closeAllConnections();
  });
  await once(http.listen(0, '127.0.0.1'), 'listening');
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
}

/** A server that keeps the bodies it is sent and answers each with what `answer` makes of its number. */
export async function answering(answer: (request: number) => Uint8Array) {
  const bodies: Buffer[] = [];
  const url = await localServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    bodies.push(Buffer.concat(chunks));
    outgoing.end(answer(bodies.length - 1));
  });
  return { url, bodies };
}
