import { spawn } from 'node:child_process';
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openCheckpoint } from '@flow-grpo/checkpoint-io';
import { rounds } from '@flow-grpo/test-support';
import { bundleProgram } from '@flow-grpo/test-support/bundle';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { resolveConfig } from '../config/resolve';
import { gaussianFlow } from '../policies/gaussian-flow';
import { listCheckpoints } from './checkpoint-names';
import { loadRun, loadWeights } from './open-checkpoint';
import { runnerConfig, withCopies } from './testing/config';
import { runOnce } from './testing/run-once';

let folder: string;
let shared: string;
beforeAll(async () => {
  shared = await mkdtemp(join(tmpdir(), 'runs-'));
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'run-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));
afterAll(() => rm(shared, { recursive: true }));

const finished = new Map<number, Promise<string>>();

/** Puts a run that has finished into a folder: a copy of one that is trained once for all tests. */
async function finishedRun(output: string, epochs = runnerConfig.epochs): Promise<void> {
  const train = async () => {
    const path = join(shared, `${epochs}`);
    await runOnce(path, { config: { ...runnerConfig, epochs } });
    return path;
  };
  const run = finished.get(epochs) ?? train();
  finished.set(epochs, run);
  await cp(await run, output, { recursive: true });
}

async function readValues(path: string): Promise<Record<string, number[]>> {
  const checkpoint = await openCheckpoint(path);
  try {
    const read = checkpoint.names.map(
      async (name) => [name, [...(await checkpoint.readValues(name))]] as const,
    );
    return Object.fromEntries(await Promise.all(read)) as Record<string, number[]>;
  } finally {
    await checkpoint.close();
  }
}

const finalBits = async (path: string) =>
  Promise.all(
    ['trained', 'optimizer', 'ema'].map(async (name) =>
      (await readFile(join(path, `${name}.safetensors`))).toString('base64'),
    ),
  );

describe('a checkpoint', () => {
  it('resumes to the same bits after an interruption', async () => {
    await finishedRun(join(folder, 'whole'));
    const stop = new AbortController();
    const first = await runOnce(join(folder, 'parts'), {
      signal: stop.signal,
      onEpoch: ({ epoch }) => void (epoch === 3 && stop.abort()),
    });
    expect(first.reason).toBe('interrupted');
    expect(first.epochs).toBe(4);
    const second = await runOnce(join(folder, 'parts'));
    expect(second.reason).toBe('finished');
    const last = `checkpoints/epoch-00000${runnerConfig.epochs}`;
    expect(await finalBits(join(folder, 'parts', last))).toEqual(
      await finalBits(join(folder, 'whole', last)),
    );
  });

  it('keeps as many as asked', async () => {
    await runOnce(folder, { config: { ...runnerConfig, keepCheckpoints: 2 } });
    expect(await listCheckpoints(join(folder, 'checkpoints'))).toEqual(['epoch-000007', 'epoch-000008']);
  });

  it('refuses a damaged file, another configuration and another format, in words', async () => {
    await finishedRun(folder);
    const path = join(folder, 'checkpoints', 'epoch-000008');
    const config = resolveConfig(runnerConfig);
    const changed = resolveConfig({
      ...runnerConfig,
      grpo: { ...runnerConfig.grpo, clipRange: 0.3 },
    });
    await expect(loadRun(path, changed)).rejects.toThrow(
      /another configuration \(grpo.clipRange: 0.2 → 0.3\)/,
    );
    await expect(loadRun(path, { ...config, epochs: 99 })).resolves.toBeDefined();
    const smaller = {
      ...config,
      sampling: { ...config.sampling, batchSize: 4 },
      training: { ...config.training, stepsPerPass: 1 },
    };
    await expect(loadRun(path, smaller)).resolves.toBeDefined();
    const stateFile = join(path, 'state.json');
    const state = await readFile(stateFile, 'utf8');
    await writeFile(stateFile, state.replace('"formatVersion": 2', '"formatVersion": 9'));
    await expect(loadRun(path, config)).rejects.toThrow(/format version 9/);
    await writeFile(stateFile, state);
    for (const [what, by] of [
      ['"rollbacks": 0', '"rollbacks": 1'],
      ['"clipRange": 0.2', '"clipRange": 0.3'],
      ['"setup": {}', '"setup": { "reward": "other" }'],
    ] as const) {
      expect(state).toContain(what);
      await writeFile(stateFile, state.replace(what, by));
      await expect(loadRun(path, config)).rejects.toThrow(/state.json is damaged \(its checksum differs\)/);
    }
    await writeFile(stateFile, state);
    const renamed = join(folder, 'checkpoints', 'epoch-000007');
    await rename(renamed, join(folder, 'seven'));
    await rename(path, renamed);
    await expect(loadRun(renamed, config)).rejects.toThrow(/after 8 epochs, which its name does not say/);
    await expect(loadRun(join(folder, 'seven'), config)).resolves.toBeDefined();
    await rename(renamed, path);
    await appendFile(join(path, 'ema.safetensors'), 'x');
    await expect(loadRun(path, config)).rejects.toThrow(/ema.safetensors is damaged/);
    await rm(join(path, 'ema.safetensors'));
    await expect(loadRun(path, config)).rejects.toThrow(/ema.safetensors is missing/);
    await expect(loadRun(folder, config)).rejects.toThrow(/no state.json/);
  });
});

describe('what is no checkpoint', () => {
  it.each<[string, string | undefined, RegExp]>([
    [
      'half copied',
      undefined,
      /no state.json. If it was copied, copy it again; otherwise resume from an older/,
    ],
    ['cut', '{"formatVersion": 2, "run"', /state.json is damaged \(it is not JSON\); resume from an older/],
    ['empty', '', /state.json is damaged \(it is not JSON\)/],
    ['zeros', '\0'.repeat(64), /state.json is damaged \(it is not JSON\)/],
    ['null', 'null', /state.json is damaged \(it holds no record\)/],
    ['a list', '[]', /state.json is damaged \(it holds no record\)/],
    ['a number', '3', /state.json is damaged \(it holds no record\)/],
    ['of nothing', '{}', /has format version undefined, this release reads 2: resume from an older/],
    [
      'of a newer release',
      '{"formatVersion": 3}',
      /has format version 3, .*the release that wrote it, or a newer/,
    ],
    ['of an odd one', '{"formatVersion": "2"}', /has format version "2", this release reads 2/],
    ['without a checksum', '{"formatVersion": 2}', /state.json is damaged \(its checksum differs\)/],
  ])('%s, is refused as the newest, and an older one goes on by its path', async (_, state, message) => {
    await finishedRun(folder, 2);
    const checkpoints = join(folder, 'checkpoints');
    const newest = join(checkpoints, 'epoch-000003');
    await mkdir(newest);
    if (state !== undefined) await writeFile(join(newest, 'state.json'), state);
    await expect(runOnce(folder)).rejects.toThrow(message);
    expect(await listCheckpoints(checkpoints)).toEqual(['epoch-000001', 'epoch-000002', 'epoch-000003']);
    const resume = join(checkpoints, 'epoch-000002');
    expect(await runOnce(folder, { resume, config: { ...runnerConfig, epochs: 3 } })).toMatchObject({
      reason: 'finished',
      epochs: 3,
    });
    expect(await listCheckpoints(`${checkpoints}-archive-1`)).toEqual(['epoch-000003']);
  });
});

describe('a folder of checkpoints', () => {
  it('comes back in order after a kill between two renames', async () => {
    await finishedRun(folder);
    const checkpoints = join(folder, 'checkpoints');
    await rename(join(checkpoints, 'epoch-000008'), join(checkpoints, '.replaced-epoch-000008'));
    await mkdir(join(checkpoints, '.tmp-0123'));
    await mkdir(join(checkpoints, '.replaced-epoch-000007')); // its successor is there: it goes
    const { epochs, reason } = await runOnce(folder);
    expect([epochs, reason]).toEqual([8, 'finished']);
    expect(await readdir(checkpoints)).toEqual(['epoch-000006', 'epoch-000007', 'epoch-000008']);
  });

  it('keeps later checkpoints out of the way of a run that starts anew, or from an earlier one', async () => {
    await finishedRun(folder);
    const messages: string[] = [];
    const more = { onMessage: (message: string) => void messages.push(message) };
    const checkpoints = join(folder, 'checkpoints');
    const earlier = join(checkpoints, 'epoch-000006');
    await runOnce(folder, { ...more, resume: earlier, config: { ...runnerConfig, epochs: 7 } });
    expect(messages.at(-1)).toBe(`Checkpoints of later epochs are now in ${checkpoints}-archive-1`);
    expect(await readdir(`${checkpoints}-archive-1`)).toEqual(['epoch-000007', 'epoch-000008']);
    expect(await listCheckpoints(checkpoints)).toEqual(['epoch-000006', 'epoch-000007']);
    await runOnce(folder, { ...more, resume: false, config: { ...runnerConfig, epochs: 2 } });
    expect(await readdir(`${checkpoints}-archive-2`)).toEqual(['epoch-000006', 'epoch-000007']);
    expect(await listCheckpoints(checkpoints)).toEqual(['epoch-000001', 'epoch-000002']);
  });

  it('gives the weights alone that evaluations use', async () => {
    await finishedRun(folder);
    const path = join(folder, 'checkpoints', 'epoch-000008');
    const config = resolveConfig(runnerConfig);
    const { state } = await loadRun(path, config);
    const values = (params: Record<string, tf.Tensor>) =>
      Object.entries(params).map(([name, value]) => [name, [...value.dataSync()]]);
    const average = await loadWeights(path, config);
    expect(average.run.epoch).toBe(8);
    expect(values(average.weights)).toEqual(values(state.ema));
    expect(values(state.ema)).not.toEqual(values(state.trained));
    await rm(join(path, 'optimizer.safetensors')); // not looked at
    await expect(loadWeights(path, config)).resolves.toBeDefined();
  });

  it('refuses another setup by the name of what changed, unless that is allowed', async () => {
    const setup = { model: '5.9 GB, sha256 1f', 'reward.ocr': '1', prompts: '200, sha256 aa' };
    await runOnce(folder, { setup, config: { ...runnerConfig, epochs: 2 } });
    const later = { ...runnerConfig, epochs: 3 };
    for (const [name, value] of Object.entries({ model: 'b', 'reward.ocr': '2', prompts: 'c' })) {
      const changed = { setup: { ...setup, [name]: value }, config: later };
      await expect(runOnce(folder, changed)).rejects.toThrow(
        new RegExp(`setup\\.${name}: .* → "${value}".*--allow-changed setup\\.${name}$`),
      );
    }
    const { model, ...less } = setup;
    await expect(runOnce(folder, { setup: less, config: later })).rejects.toThrow(
      /setup.model: .* → nothing/,
    );
    const other = { ...setup, model: 'b', 'reward.ocr': '2' };
    await expect(
      runOnce(folder, { setup: other, config: later, allowChanged: ['setup.model'] }),
    ).rejects.toThrow(/setup.reward.ocr/);
    const allowed = { setup: other, config: later, allowChanged: ['setup.model', 'setup.reward'] };
    expect((await runOnce(folder, allowed)).epochs).toBe(3);
    // From here on the new setup is the run's own.
    expect((await runOnce(folder, { setup: other, config: { ...later, epochs: 4 } })).epochs).toBe(4);
    const grpo = { ...runnerConfig.grpo, clipRange: 0.3 };
    const otherConfig = { setup: other, config: { ...later, epochs: 5, grpo } };
    await expect(runOnce(folder, otherConfig)).rejects.toThrow(/--allow-changed grpo.clipRange/);
    expect((await runOnce(folder, { ...otherConfig, allowChanged: ['grpo'] })).epochs).toBe(5);
  });

  it('refuses weights of another shape under the same name', async () => {
    const policy = (prompts: string[]) => gaussianFlow({ prompts, mean: [0.5, 0.5], std: 0.1 });
    await runOnce(folder, { policy: policy(['a', 'b']) as never });
    const more = { ...runnerConfig, epochs: runnerConfig.epochs + 1 };
    await expect(runOnce(folder, { policy: policy(['a', 'b', 'c']) as never, config: more })).rejects.toThrow(
      /different shapes from those that train now \(mean.weight is \[2,2\], now \[3,2\]\)/,
    );
  });

  it('refuses a checkpoint of other weights', async () => {
    await finishedRun(folder);
    const path = join(folder, 'checkpoints', 'epoch-000008');
    const trainable = ['shift', 'scale'];
    await expect(loadRun(path, resolveConfig(runnerConfig), { trainable })).rejects.toThrow(
      /holds different weights from those that train now \(no scale, mean.weight\)/,
    );
  });
});

const KILLS = rounds(4, 20);

describe('a process', () => {
  let runner: string;
  beforeAll(async () => {
    runner = await bundleProgram(fileURLToPath(new URL('./testing/run-once.ts', import.meta.url)));
  });

  const start = (output: string, ...more: string[]) =>
    spawn(process.execPath, [runner, output, ...more], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = (child: ReturnType<typeof start>) =>
    new Promise<number | null>((resolve) => child.on('exit', (code) => resolve(code)));

  it(`killed at ${KILLS} random moments ends with the same bits`, async () => {
    const whole = join(folder, 'whole');
    expect(await ended(start(whole))).toBe(0);
    const last = `checkpoints/epoch-00000${runnerConfig.epochs}`;
    const expected = await finalBits(join(whole, last));
    let killed = 0;
    let random = 12345;
    const outputs = [join(folder, 'killed-0')];
    for (let attempt = 0; attempt < 3 * KILLS && killed < KILLS; attempt++) {
      const output = outputs.at(-1)!; // several kills a run
      random = (Math.imul(random, 1103515245) + 12345) >>> 0;
      const child = start(output);
      let timer: NodeJS.Timeout | undefined;
      const delay = 150 * (random / 2 ** 32); // milliseconds after its first epoch: in an epoch, or in a save
      child.stdout!.once('data', () => {
        timer = setTimeout(() => child.kill('SIGKILL'), delay);
      });
      if ((await ended(child)) === null) killed++;
      else outputs.push(join(folder, `killed-${outputs.length}`));
      clearTimeout(timer);
    }
    expect(killed).toBe(KILLS);
    for (const output of outputs) {
      expect(await ended(start(output))).toBe(0);
      expect(await finalBits(join(output, last))).toEqual(expected);
      const names = await readdir(join(output, 'checkpoints'));
      expect(names.filter((name) => name.startsWith('.tmp'))).toEqual([]);
    }
  });

  it.each([
    ['nft', ['old']],
    ['awm', ['old', 'slow']],
    ['dgpo', ['fast']],
    ['crd', ['old', 'sampling']],
    ['flow-dppo', []],
  ] as const)(
    'of %s, killed, ends with the same bits, its copies of the weights included',
    async (algorithm, copies) => {
      const config = withCopies(algorithm);
      const [whole, killed] = [join(folder, 'whole'), join(folder, 'killed')];
      await runOnce(whole, { config });
      const child = start(killed, '1000', algorithm); // milliseconds of an epoch: there is time to kill it
      let epochs = 0;
      child.stdout!.on('data', (text) => {
        epochs += String(text).split('epoch').length - 1;
        if (epochs > 1) child.kill('SIGKILL');
      });
      expect(await ended(child)).toBeNull();
      expect((await runOnce(killed, { config })).reason).toBe('finished');
      const path = (output: string, file: string) =>
        join(output, 'checkpoints', `epoch-00000${runnerConfig.epochs}`, `${file}.safetensors`);
      for (const file of ['trained', 'optimizer', 'ema', ...(copies.length > 0 ? ['copies'] : [])]) {
        const [ended, expected] = await Promise.all([killed, whole].map((run) => readFile(path(run, file))));
        expect(ended!.equals(expected!), file).toBe(true);
      }
      if (copies.length === 0) return;
      const trained = await readValues(path(killed, 'trained'));
      const kept = await readValues(path(killed, 'copies'));
      const names = copies.flatMap((copy) => Object.keys(trained).map((name) => `${copy}.${name}`));
      expect(Object.keys(kept).sort()).toEqual(names.sort());
      expect(kept[`${copies.at(-1)}.mean.weight`]).not.toEqual(trained['mean.weight']);
    },
  );

  it('finishes the epoch and saves on SIGTERM', async () => {
    const child = start(folder);
    await new Promise<void>((resolve) => child.stdout!.on('data', () => resolve()));
    child.kill('SIGTERM');
    expect(await ended(child)).toBe(0);
    const names = await listCheckpoints(join(folder, 'checkpoints'));
    expect(names.length).toBeGreaterThan(0);
    expect(names.at(-1)).not.toBe(`epoch-00000${runnerConfig.epochs}`);
    tf.dispose(
      (await loadRun(join(folder, 'checkpoints', names.at(-1)!), resolveConfig(runnerConfig))) as never,
    );
  });
});
