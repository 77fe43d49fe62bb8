import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bundleText } from './bundle';

const bundle = fileURLToPath(new URL('../node_modules/.cache/exit-test.mjs', import.meta.url));

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
});
afterAll(() => rmSync(bundle));

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
