import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bundleText } from './bundle';

const bundle = fileURLToPath(new URL('../node_modules/.cache/exit-test.mjs', import.meta.url));
const workerBundle = fileURLToPath(new URL('../node_modules/.cache/exit-worker-test.mjs', import.meta.url));

beforeAll(() => {
  bundleText(
    `
        import { createClient } from './src/index';
        import { longProgram, slowProgram } from './test/plugin';
        const client = await createClient({ platform: 'cpu' });
        const text = slowProgram(512, 20);
        const executable = client.compileSync(text);
        const a = client.bufferFromHost(new Float32Array(512 * 512), 'f32', [512, 512]);
        const run = () => executable.execute([[a]])[0][0];
        const ways = {
          'exits while a program runs': () => { run(); process.exit(7); },
          'exits while the result is read': () => { run().toHost(); setTimeout(() => process.exit(7), 5); },
          'exits when the result is not wanted': () => { run().dispose(); process.exit(7); },
          'exits while XLA compiles': () => { client.compile(text); setTimeout(() => process.exit(7), 5); },
          'exits while XLA compiles for minutes': () => {
            client.compile(longProgram(60_000));
            process.on('exit', () => console.log('listeners ran'));
            setTimeout(() => process.exit(7), 200);
          },
          'throws while a program runs': () => { run(); throw new Error('the user’s own'); },
          'just ends': () => { run(); process.exitCode = 7; },
        };
        ways[process.argv[2]]();`,
    bundle,
  );
  bundleText(
    `
        import koffi from 'koffi';
        import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
        import { createClient } from './src/index';
        if (isMainThread) {
          const libc = koffi.load(null);
          const abort = libc.func('dlsym', 'uint64_t', ['uint64_t', 'str'])(0, 'abort');
          libc.func('on_exit', 'int', ['uint64_t', 'uint64_t'])(abort, 0);
          const worker = new Worker(new URL(import.meta.url), { workerData: process.argv[2] });
          await new Promise((resolve) => worker.once('message', resolve));
          await worker.terminate();
          process.on('exit', () => console.log('listeners ran'));
          process.exitCode = 7;
          if (process.stdin.isTTY) {
            process.stdin.setRawMode(true);
            process.exit();
          }
        } else {
          if (workerData === 'has a client') await createClient({ platform: 'cpu' });
          parentPort.postMessage('ready');
          setInterval(() => {}, 1000);
        }`,
    workerBundle,
  );
});
afterAll(() => {
  rmSync(bundle);
  rmSync(workerBundle);
});

it.each([
  'exits while a program runs',
  'exits while the result is read',
  'exits when the result is not wanted',
  'exits while XLA compiles',
  'throws while a program runs',
  'just ends',
])('a process that %s ends by its own code', (way) => {
  const { status, signal } = spawnSync(process.execPath, [bundle, way], { encoding: 'utf8' });
  expect({ status, signal }).toEqual({ status: way.startsWith('throws') ? 1 : 7, signal: null });
});

it('a process that exits while XLA compiles for minutes does not wait for it', () => {
  const way = 'exits while XLA compiles for minutes';
  const { status, signal, stdout } = spawnSync(process.execPath, [bundle, way], {
    encoding: 'utf8',
    timeout: 120_000,
  });
  expect({ status, signal, stdout }).toEqual({ status: 7, signal: null, stdout: 'listeners ran\n' });
});

// An exit handler that aborts stands for XLA's, which take apart what the programs of a terminated worker still use.
it.each([
  ['has a client', { status: 7, signal: null }],
  ['has none', { status: null, signal: 'SIGABRT' }],
])('a process whose terminated worker %s ends with exit handlers or without', (worker, ended) => {
  const { status, signal, stdout } = spawnSync(process.execPath, [workerBundle, worker], {
    encoding: 'utf8',
  });
  expect({ status, signal, stdout }).toEqual({ ...ended, stdout: 'listeners ran\n' });
});

const ON_TERMINAL = `
import pty, subprocess, sys, termios
_, terminal = pty.openpty()
mode = lambda: termios.tcgetattr(terminal)[3] & (termios.ICANON | termios.ECHO)
before = mode()
ended = subprocess.run(sys.argv[1:], stdin=terminal, stdout=terminal, stderr=terminal)
print(ended.returncode, 'restored' if mode() == before else 'raw')
`;

it.runIf(process.platform === 'linux')(
  'a process whose worker had a client gives the terminal its mode back',
  () => {
    const command = ['-c', ON_TERMINAL, process.execPath, workerBundle, 'has a client'];
    expect(spawnSync('python3', command, { encoding: 'utf8' })).toMatchObject({ stdout: '7 restored\n' });
  },
);
