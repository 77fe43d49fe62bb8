import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listCheckpoints } from '@flow-grpo/grpo-trainer/node';
import { bundleProgram } from '@flow-grpo/test-support/bundle';
import { launchChromium } from '@flow-grpo/test-support/chromium';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readJsonLines } from '../logging/json-lines';
import { standInKey, wandbStandIn } from '../logging/wandb/testing/stand-in';

/** The command as a process of its own, on XLA, as people start it. */
let command: string;
let folder: string;
let output: string;
const children = new Set<ChildProcess>();
beforeAll(async () => {
  command = await bundleProgram(fileURLToPath(new URL('../bin.ts', import.meta.url)));
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'command-'));
  output = join(folder, 'run');
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(folder, { recursive: true, maxRetries: 3 });
});

const SHORT = 'sampling: { numSteps: 4, promptsPerEpoch: 4, samplesPerPrompt: 4, batchSize: 8 }\n';

function start(args: readonly string[], environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, [command, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  children.add(child);
  let text = '';
  const waiting = new Set<() => void>();
  const heard = (chunk: Buffer) => {
    text += chunk;
    for (const look of waiting) look();
  };
  child.stdout.on('data', heard);
  child.stderr.on('data', heard);
  const ended = new Promise<number | null>((resolve) => {
    child.on('close', (code) => {
      children.delete(child);
      resolve(code);
      for (const look of waiting) look();
    });
  });
  /** Resolves with the match once the process has printed it; fails when it ends before. */
  const says = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(text);
        if (match) resolve(match);
        else if (!children.has(child)) reject(new Error(`the process ended without ${pattern}:\n${text}`));
        else return;
        waiting.delete(look);
      };
      waiting.add(look);
      look();
    });
  return { child, ended, says, text: () => text };
}

async function configFile(more: string): Promise<string> {
  const file = join(folder, 'run.yaml');
  await writeFile(file, `output: ${JSON.stringify(output)}\n${SHORT}${more}`);
  return file;
}

it('says that a module waits for what never comes', async () => {
  const setup = join(folder, 'setup.mjs');
  await writeFile(setup, 'export default () => new Promise(() => {});\n');
  const run = start(['train', '--setup', setup, '--backend', 'cpu', '-o', output]);
  await run.says(/is waiting for a promise that never settles, probably one in your own module/);
  expect(await run.ended).toBe(2);
});

describe('flow-grpo train, as a process', () => {
  it('says what will run, profiles epochs on two devices, and leaves trace, table and weights', async () => {
    const file = await configFile('epochs: 4\ndevices: 2\npeakTflops: 1e-9\n');
    const run = start(['train', file, '--profile', '--profile-epochs', '2']);
    expect(await run.ended, run.text()).toBe(0);
    expect(run.text()).toMatch(/rollouts +2 per epoch of 8 images, 4 per device, on 2 devices/);
    expect(run.text()).toMatch(
      /time +known after the second epoch .*; at least [\d hmins]+ at [\d.e+-]+ s per epoch/,
    );
    expect(run.text()).toMatch(/s per epoch \(mean of 2\)\nphases of the trainer:\n {2}rollout/);
    expect(run.text()).toMatch(/programs on the device:[\s\S]*idle[\s\S]*scoring[\s\S]*nearness/);
    expect(run.text()).toMatch(/epoch 4\/4 {2}reward [\d.]+ {2}[\d.]+ images\/s {2}MFU [\d.]+ %/);
    expect(run.text()).toMatch(/finished after 4 epochs, 8 updates/);
    const trace = JSON.parse(await readFile(join(output, 'trace.json'), 'utf8')) as {
      traceEvents: { name: string }[];
    };
    const names = new Set(trace.traceEvents.map(({ name }) => name));
    for (const name of ['rollout', 'update', 'logs', 'gradientPass', 'optimizerStep', 'nearness'])
      expect(names).toContain(name);
    const { rows } = JSON.parse(await readFile(join(output, 'profile.json'), 'utf8')) as { rows: unknown[] };
    expect(rows).toContainEqual(expect.objectContaining({ what: 'logs', kind: 'phase' }));
    expect((await readFile(join(output, 'model.safetensors'))).length).toBeGreaterThan(0);
  });

  it('finishes its epoch and saves on SIGINT, and goes on from there', async () => {
    const file = await configFile('epochs: 100000\nsaveEvery: 100000\n');
    const run = start(['train', file]);
    await run.says(/epoch \d+\/100000 {2}reward/);
    run.child.kill('SIGINT');
    expect(await run.ended, run.text()).toBe(130);
    expect(run.text()).toContain('SIGINT: saving what is done, then exiting');
    const [saved] = await listCheckpoints(join(output, 'checkpoints'));
    const epochs = (await readJsonLines(join(output, 'metrics.jsonl'))).length;
    expect(saved).toBe(`epoch-${String(epochs).padStart(6, '0')}`);

    const more = start(['train', file, '--epochs', String(epochs + 2)]);
    expect(await more.ended, more.text()).toBe(0);
    expect(more.text()).toContain(`Resumed after epoch ${epochs}`);
    expect(more.text()).not.toContain('at least'); // less than a second
    expect(await readJsonLines(join(output, 'metrics.jsonl'))).toHaveLength(epochs + 2);
  });

  it('serves its page while it trains, to its last word', async () => {
    const file = await configFile('epochs: 100000\n');
    const run = start(['train', file, '--ui']);
    const [, url] = await run.says(/live page: (http:\S+)/);
    const { context, close } = await launchChromium();
    try {
      const page = await context.newPage();
      await page.goto(url!);
      await page.waitForSelector('#overview .plot canvas'); // an epoch has passed
      const text = (part: string) =>
        page.waitForFunction((wanted) => document.body.innerText.includes(wanted), part);
      await text('Advantages');
      await text('How much longer?');
      run.child.kill('SIGTERM');
      await text('interrupted after');
      await text('run the same command again to resume');
      expect(await run.ended, run.text()).toBe(130);
    } finally {
      await close();
    }
  });

  it('logs to Weights & Biases where configured', async () => {
    const server = await wandbStandIn();
    try {
      const file = await configFile(`epochs: 3\nwandb: { project: toys, baseUrl: ${server.url} }\n`);
      const run = start(['train', file], { WANDB_API_KEY: standInKey });
      expect(await run.ended, run.text()).toBe(0);
      const [logged] = [...server.runs.values()];
      expect(run.text()).toContain(`/toys/runs/${logged!.id}`);
      expect(logged).toMatchObject({ project: 'toys', exitcode: 0 });
      expect(logged!.history.filter((row) => 'reward' in row)).toHaveLength(3);
      expect(logged!.config.setup).toMatchObject({ value: { kind: 'toy' } });
    } finally {
      await server.close();
    }
  });

  it.each([
    [['--profile', '--profile-epochs', '0'], /--profile-epochs 0: give a whole number of at least 1/],
    [['--ui', '--ui-port', '99999'], /--ui-port 99999: give a whole number from 0 to 65535/],
    [['--devices', '3'], /devices \(3\) must divide|multiple of devices/],
    [['--devices', '2', '--backend', 'cpu'], /devices: the run asks for 2, and backend cpu has 1/],
    [['--grop.beta', '1'], /unknown option '--grop.beta'\s+\(Did you mean --grpo.beta\?\)/],
  ])('refuses %j in words, with status 2', async (flags, message) => {
    const run = start(['train', await configFile(''), ...flags]);
    expect(await run.ended, run.text()).toBe(2);
    expect(run.text()).toMatch(message);
  });
});
