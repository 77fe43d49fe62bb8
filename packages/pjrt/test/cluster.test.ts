/** Processes that meet at a coordinator: strangers stay out, and nobody outlives a process that is lost. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { copyThreads } from '../copy-threads.mjs';
import { type Cluster, createClient, joinCluster } from '../src/index';
import { bundleText } from './bundle';

const secret = 'a secret of tests';
const port = async (): Promise<number> => {
  const alone = await joinCluster({ coordinator: '127.0.0.1:0', processId: 0, numProcesses: 1, secret });
  alone.leave();
  return alone.port;
};
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (value: string) => new TextEncoder().encode(value);

describe('options', () => {
  const good = { coordinator: '127.0.0.1:0', processId: 0, numProcesses: 1, secret };
  it.each([
    [{ coordinator: '127.0.0.1' }, /host:port/],
    [{ coordinator: '127.0.0.1:70000' }, /host:port/],
    [{ processId: 1 }, /processId must be 0 to 0, not 1/],
    [{ processId: -1 }, /processId/],
    [{ numProcesses: 0 }, /numProcesses/],
    [{ secret: 'short' }, /at least 8 characters/],
    [{ coordinator: '192.0.2.1:0' }, /cannot listen at 192\.0\.2\.1.*address of this machine/],
  ])('%j is refused', async (wrong, message) => {
    await expect(joinCluster({ ...good, ...wrong })).rejects.toThrow(message);
  });

  it('a CPU plugin says that it computes in one process', async () => {
    await expect(createClient({ platform: 'cpu', distributed: good })).rejects.toThrow(/one process only/);
  });
});

describe('three processes', () => {
  let clusters: Cluster[];
  const lost: string[] = [];
  let coordinator = '';
  beforeAll(async () => {
    coordinator = `127.0.0.1:${await port()}`;
    clusters = await Promise.all(
      [0, 1, 2].map((processId) =>
        joinCluster({
          coordinator,
          processId,
          numProcesses: 3,
          secret,
          onPeerLost: (reason) => lost.push(reason),
        }),
      ),
    );
  });
  afterAll(() => {
    for (const cluster of clusters.toReversed()) cluster.leave();
  });

  it('gather what each has, in their order, as often as they like under one name', async () => {
    for (const round of ['a', 'b']) {
      const all = await Promise.all(
        clusters.map((cluster, i) => cluster.gather('values', bytes(`${round}${i}`))),
      );
      for (const each of all) expect(each.map(text)).toEqual([`${round}0`, `${round}1`, `${round}2`]);
    }
    const objects = await Promise.all(clusters.map((cluster, i) => cluster.gatherJson('json', { i })));
    expect(objects[2]).toEqual([{ i: 0 }, { i: 1 }, { i: 2 }]);
  });

  it('wait for one another', async () => {
    const passed: number[] = [];
    const waiting = [0, 1].map(async (i) => {
      await clusters[i]!.barrier('here');
      passed.push(i);
    });
    expect(passed).toEqual([]);
    await clusters[2]!.barrier('here');
    await Promise.all(waiting);
    expect(passed.toSorted()).toEqual([0, 1]);
  });

  it('a process with another secret, a taken number or none of the run’s is refused, and learns why', async () => {
    const options = { coordinator, processId: 1, numProcesses: 3, secret, joinMs: 5000 };
    await expect(joinCluster({ ...options, secret: 'another secret' })).rejects.toThrow(
      /secret is different/,
    );
    await expect(joinCluster(options)).rejects.toThrow(/process 1 has already joined \(.*pid/);
    await expect(joinCluster({ ...options, processId: 7, numProcesses: 8 })).rejects.toThrow(
      /no process 7 among 3/,
    );
  });

  const stranger = async (): Promise<Socket> => {
    const socket = connect(Number(coordinator.split(':')[1]), '127.0.0.1').on('error', () => {});
    await once(socket, 'data'); // the challenge
    return socket;
  };
  // Not by once(), which a reset connection's error would end.
  const ended = (socket: Socket) =>
    new Promise<unknown>((resolve) => (socket.closed ? resolve(0) : socket.resume().on('close', resolve)));

  it.each([
    ['garbage', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['bytes that are no text', Buffer.from([0, 255, 254, 10, 0, 1, 10])],
    ['JSON that is no object', Buffer.from('7\n')],
    ['null', Buffer.from('null\n')],
    ['a request before the secret', Buffer.from('{"op":"put","key":"a","value":"b"}\n')],
    ['a proof of another kind', Buffer.from('{"join":2,"proof":{"length":64}}\n')],
    ['a proof that is wrong', Buffer.from(`{"join":2,"proof":"${'0'.repeat(64)}"}\n`)],
    ['a line without end', Buffer.alloc(100_000, 'x')],
    ['a long line', Buffer.from(`{"join":"${'x'.repeat(100_000)}"}\n`)],
  ])('%s ends the connection', async (_, sent) => {
    const socket = await stranger();
    socket.write(sent);
    await ended(socket);
  });

  /** A line that knows the secret, and what the coordinator answers to it, nothing where it hangs up. */
  async function knock(fields: Record<string, unknown>, inPieces = false): Promise<Record<string, unknown>> {
    const { PROTOCOL, proof } = await import('../src/distributed/protocol.mjs');
    const socket = connect(Number(coordinator.split(':')[1]), '127.0.0.1').on('error', () => {});
    const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
    const { challenge } = JSON.parse((await lines.next()).value) as { challenge: string };
    const given = { join: 1, processes: 3, protocol: PROTOCOL, name: 'a ümläut', nonce: 'n', ...fields };
    const own = proof(secret, 'process', challenge, String(given.nonce), String(given.join));
    const bytes = Buffer.from(`${JSON.stringify({ ...given, proof: own })}\n`);
    for (const piece of inPieces ? bytes : [bytes]) {
      socket.write(typeof piece === 'number' ? Buffer.of(piece) : piece);
      if (inPieces) await new Promise(setImmediate);
    }
    const { value } = await lines.next();
    socket.destroy();
    return value === undefined ? {} : JSON.parse(value);
  }

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['a number beyond the last', { join: 3 }, /no process 3 among 3: numbers are 0 to 2/],
    ['a negative number', { join: -1 }, /no process -1 among 3/],
    ['half a number', { join: 1.5 }, /no process 1\.5 among 3/],
    ['a number as text', { join: '1' }, /no process 1 among 3/],
    ['true', { join: true }, /no process true among 3/],
    ['a list', { join: [1] }, /no process 1 among 3/],
    ['nothing', { join: null }, /no process null among 3/],
    [
      'another count of processes',
      { processes: 2 },
      /started for 2 processes and this run has 3.*another run/,
    ],
    ['no count', { processes: undefined }, /started for undefined processes/],
    [
      'another version',
      { protocol: 0 },
      /a different version of @flow-grpo\/pjrt: install the same version everywhere/,
    ],
    ['no version', { protocol: undefined }, /a different version/],
    ['a number that is taken', {}, /process 1 has already joined/],
  ])('who knows the secret and gives %s is refused, with the reason', async (_, fields, reason) => {
    expect(await knock(fields)).toEqual({ refused: expect.stringMatching(reason) });
    expect(lost).toEqual([]);
  });

  it('the coordinator listens at the address it was told, and at no other of the machine', async () => {
    const other = connect(Number(coordinator.split(':')[1]), '127.0.0.2');
    const [error] = await once(other, 'error');
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('a line that comes byte by byte is one', async () => {
    expect(await knock({}, true)).toEqual({ refused: expect.stringMatching(/process 1 has already joined/) });
  });

  it('a second coordinator at the same port is refused, and the first goes on', async () => {
    const second = joinCluster({ coordinator, processId: 0, numProcesses: 2, secret });
    await expect(second).rejects.toThrow(/cannot listen at 127\.0\.0\.1:\d+ .*the port free/);
    const all = await Promise.all(clusters.map((cluster, i) => cluster.gatherJson('first goes on', i)));
    expect(all[1]).toEqual([0, 1, 2]);
  });

  it('a proof that was seen on another connection is worth nothing', async () => {
    const { proof } = await import('../src/distributed/protocol.mjs');
    const socket = await stranger();
    const old = proof(secret, 'process', 'an earlier challenge', 'n', '2');
    socket.write(`${JSON.stringify({ join: 2, nonce: 'n', proof: old })}\n`);
    await ended(socket);
  });

  it('a port scan, and hundreds of connections that say nothing, leave the run as it is', async () => {
    const open: Socket[] = [];
    for (let i = 0; i < 300; i++) {
      const socket = connect(Number(coordinator.split(':')[1]), '127.0.0.1').on('error', () => {});
      await once(socket, 'connect');
      if (i % 3 === 0) socket.destroy();
      else open.push(socket);
    }
    const all = await Promise.all(clusters.map((cluster, i) => cluster.gather('still', bytes(`${i}`))));
    for (const each of all) expect(each.map(text)).toEqual(['0', '1', '2']);
    for (const socket of open) socket.destroy();
    expect(lost).toEqual([]);
  });
});

it('a coordinator that does not know the secret is not joined', async () => {
  const number = await port();
  const { startCoordinator } = await import('../src/distributed/coordinator.mjs');
  const coordinator = await startCoordinator({
    host: '127.0.0.1',
    port: number,
    secret: 'another secret',
    processes: 2,
    joinMs: 60_000,
    silenceMs: 60_000,
  });
  const joining = joinCluster({
    coordinator: `127.0.0.1:${number}`,
    processId: 1,
    numProcesses: 2,
    secret,
    joinMs: 5000,
  });
  await expect(joining).rejects.toThrow(/secret is different/);
  coordinator.close();
});

describe('a process that is lost', () => {
  const folder = fileURLToPath(new URL('../node_modules/.cache/cluster-test', import.meta.url));
  const children: ChildProcess[] = [];
  beforeAll(() => {
    mkdirSync(folder, { recursive: true });
    copyThreads(folder);
    bundleText(
      `
          import { joinCluster } from './src/index';
          const [coordinator, id, how] = process.argv.slice(2);
          const cluster = await joinCluster({ coordinator, processId: Number(id), numProcesses: 3, secret: ${JSON.stringify(secret)}, silenceMs: 3000 });
          await cluster.barrier('all');
          console.log('joined');
          process.stdin.on('data', (text) => {
            if (String(text).startsWith('throw')) throw new Error('thrown by the test');
            if (String(text).startsWith('leave')) process.exit(0);
            // As where scores are gathered.
            if (String(text).startsWith('wait')) void cluster.barrier('never');
            // A main thread that hangs, as in a collective whose partner is gone.
            if (String(text).startsWith('hang')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
          });`,
      join(folder, 'main.mjs'),
    );
  });
  afterAll(() => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });

  /** Three processes that have met; what each writes to stderr, and how it ends. */
  async function start() {
    const coordinator = `127.0.0.1:${await port()}`;
    return Promise.all(
      [0, 1, 2].map(async (id) => {
        const child = spawn(process.execPath, [join(folder, 'main.mjs'), coordinator, `${id}`]);
        children.push(child);
        let stderr = '';
        child.stderr.on('data', (chunk) => (stderr += chunk));
        const end = once(child, 'close').then(([status]) => ({ status: status as number | null, stderr }));
        await once(createInterface({ input: child.stdout }), 'line');
        return { child, end };
      }),
    );
  }
  const message = (id: number, reason: string) =>
    expect.stringMatching(new RegExp(`^Process ${id} ends: ${reason}.*Start all processes again`));

  it('by a kill ends the others, which name it, though their main threads hang', async () => {
    const [zero, one, two] = await start();
    zero!.child.stdin!.write('hang\n');
    two!.child.stdin!.write('hang\n');
    one!.child.kill('SIGKILL');
    const reason = `process 1 \\(.*pid ${one!.child.pid}\\) is gone`;
    expect(await zero!.end).toEqual({ status: 75, stderr: message(0, reason) });
    expect(await two!.end).toEqual({ status: 75, stderr: message(2, reason) });
  });

  it('by a kill ends the others with the same words and status where they wait for it', async () => {
    const [zero, one, two] = await start();
    for (const each of [zero!, two!]) each.child.stdin!.write('wait\n');
    await new Promise((resolve) => setTimeout(resolve, 200));
    one!.child.kill('SIGKILL');
    const reason = `process 1 \\(.*pid ${one!.child.pid}\\) is gone`;
    expect(await zero!.end).toEqual({ status: 75, stderr: message(0, reason) });
    expect(await two!.end).toEqual({ status: 75, stderr: message(2, reason) });
  });

  it('by silence ends the others, and itself once it wakes', async () => {
    const [zero, one, two] = await start();
    two!.child.kill('SIGSTOP');
    const reason = `process 2 \\(.*pid ${two!.child.pid}\\) has been silent for \\d+ s`;
    expect(await zero!.end).toEqual({ status: 75, stderr: message(0, reason) });
    expect(await one!.end).toEqual({ status: 75, stderr: message(1, reason) });
    two!.child.kill('SIGCONT');
    expect(await two!.end).toEqual({ status: 75, stderr: message(2, '') });
  });

  it('with the coordinator ends the others', async () => {
    const [zero, one, two] = await start();
    zero!.child.kill('SIGKILL');
    for (const [id, each] of [one!, two!].entries()) {
      expect(await each.end).toEqual({ status: 75, stderr: message(id + 1, 'process 0, .* is gone') });
    }
  });

  it('with a silent coordinator ends the others', async () => {
    const [zero, one, two] = await start();
    zero!.child.kill('SIGSTOP');
    for (const [id, each] of [one!, two!].entries()) {
      expect(await each.end).toEqual({
        status: 75,
        stderr: message(id + 1, 'process 0, .* has been silent'),
      });
    }
    zero!.child.kill('SIGKILL');
    await zero!.end;
  });

  it('by an exception ends the others with its status', async () => {
    const [zero, one, two] = await start();
    one!.child.stdin!.write('throw\n');
    expect(await one!.end).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('thrown by the test'),
    });
    const reason = 'process 1 \\(.*\\) ended with status 1';
    expect(await zero!.end).toEqual({ status: 75, stderr: message(0, reason) });
    expect(await two!.end).toEqual({ status: 75, stderr: message(2, reason) });
  });

  it('is none where it ends well: the others go on, whoever leaves first', async () => {
    const [zero, one, two] = await start();
    for (const each of [zero!, two!, one!]) {
      each.child.stdin!.write('leave\n');
      expect(await each.end).toEqual({ status: 0, stderr: '' });
    }
  });
});

it('a process gets in though hundreds of strangers say nothing', async () => {
  const first = await joinCluster({ coordinator: '127.0.0.1:0', processId: 0, numProcesses: 2, secret });
  const open: Socket[] = [];
  for (let i = 0; i < 300; i++) {
    open.push(connect(first.port, '127.0.0.1').on('error', () => {}));
    await once(open[i]!, 'connect');
  }
  const coordinator = `127.0.0.1:${first.port}`;
  const second = await joinCluster({ coordinator, processId: 1, numProcesses: 2, secret, joinMs: 20_000 });
  const both = await Promise.all([first.gatherJson('in', 0), second.gatherJson('in', 1)]);
  expect(both).toEqual([
    [0, 1],
    [0, 1],
  ]);
  for (const socket of open) socket.destroy();
  second.leave();
  first.leave();
});

describe('what is no coordinator', () => {
  const joining = async (answer: (socket: Socket) => void) => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      answer(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port: number } = server.address() as { port: number };
    const options = { processId: 1, numProcesses: 2, secret, joinMs: 1000 };
    const message = await joinCluster({ coordinator: `127.0.0.1:${number}`, ...options }).then(
      () => 'joined',
      (error: Error) => error.message,
    );
    server.close();
    return message;
  };

  it.each<[string, (socket: Socket) => void, RegExp]>([
    ['a web server', (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'), /is not a coordinator/],
    ['one that hangs up', (socket) => socket.destroy(), /closes the connection without an answer/],
    ['one that says nothing', () => {}, /does not answer/],
    [
      'one that greets and hangs up',
      (socket) => socket.end('{"challenge":"c"}\n'),
      /is not a coordinator|it ended/,
    ],
    [
      'one that welcomes without the secret',
      (socket) => socket.write('{"welcome":1}\n'),
      /does not know the secret/,
    ],
  ])('%s is told by what it does', async (_, answer, message) => {
    expect(await joining(answer)).toMatch(message);
  });
});

it('processes meet at an IPv6 address', async () => {
  const options = { numProcesses: 2, secret, joinMs: 10_000 };
  const first = await joinCluster({ ...options, coordinator: '[::1]:0', processId: 0 });
  const second = await joinCluster({ ...options, coordinator: `[::1]:${first.port}`, processId: 1 });
  expect(await Promise.all([first.gatherJson('v6', 0), second.gatherJson('v6', 1)])).toHaveLength(2);
  second.leave();
  first.leave();
});

it('a clock that is set meanwhile makes nobody silent', async () => {
  const { startCoordinator } = await import('../src/distributed/coordinator.mjs');
  const { joinCoordinator } = await import('../src/distributed/link.mjs');
  const common = { host: '127.0.0.1', secret, processes: 1, joinMs: 5000, silenceMs: 2000 };
  const coordinator = await startCoordinator({ ...common, port: 0 });
  const ended: string[] = [];
  const onEnd = (reason: string) => void ended.push(reason);
  const link = await joinCoordinator({ ...common, port: coordinator.port, id: 0, onEnd });
  const now = Date.now();
  const clock = vi.spyOn(Date, 'now').mockReturnValue(now + 3_600_000);
  try {
    // Longer than the coordinator takes to look at everybody.
    await new Promise((resolve) => setTimeout(resolve, 1200));
    expect(await link.request({ op: 'try', key: 'a key' })).toHaveProperty('answer');
    expect(ended).toEqual([]);
    expect(await link.request({ op: 'what nobody knows' })).toHaveProperty('answer');
  } finally {
    clock.mockRestore();
    link.close();
    coordinator.close();
  }
});

it('processes that do not come are named', async () => {
  const lost: string[] = [];
  const cluster = await joinCluster({
    coordinator: '127.0.0.1:0',
    processId: 0,
    numProcesses: 3,
    secret,
    joinMs: 500,
    onPeerLost: (reason) => lost.push(reason),
  });
  await expect(cluster.barrier('never')).rejects.toThrow(/process 1, 2 did not join within/);
  expect(lost).toHaveLength(1);
  cluster.leave();
});
