import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runLog } from '../run-log';
import { wandbClient } from './client';
import { findWandb } from './credentials';
import { wandbLog } from './sink';
import { type StandIn, standInKey, wandbStandIn } from './testing/stand-in';

let folder: string;
let server: StandIn;
let messages: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wandb-'));
  server = await wandbStandIn();
  messages = [];
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const client = (retries = 2) =>
  wandbClient({ baseUrl: server.url, apiKey: standInKey }, { retries, pause: 1 });
const open = (resume = false, retries?: number) =>
  wandbLog(client(retries), folder, server.url, {
    project: 'test',
    tags: ['short'],
    config: { epochs: 3, training: { learningRate: 0.1 } },
    resume,
    onMessage: (message) => messages.push(message),
  });
const metrics = (epoch: number) => ({ epoch, updates: epoch, samples: 8, reward: epoch / 10 });
const details = { rewards: [0, 1], advantages: Float64Array.of(-1, 0, 1), prompts: () => [] };
const theRun = () => [...server.runs.values()][0]!;
/** Waits for as long as the test may take. */
const eventually = (assertion: () => void) => vi.waitFor(assertion, { timeout: 600_000, interval: 5 });
const steps = () => theRun().history.map(({ _step }) => _step);

describe('wandbLog', () => {
  it('logs epochs, histograms and grids, and ends the run', async () => {
    const local = await runLog(folder, 0);
    const log = await open();
    const evaluation = {
      prompts: ['red'],
      metadata: [],
      scores: [0.5],
      details: { strict: [1], none: [Number.NaN] },
      images: Float32Array.of(1, 0, 0),
      imageShape: [1, 1, 1, 3],
      seconds: 1,
    };
    log.onEvaluation(await local.onEvaluation({ epoch: 0, reward: 0.5, ...evaluation }));
    for (const epoch of [0, 1]) log.onEpoch(metrics(epoch), details);
    log.onEvaluation(await local.onEvaluation({ epoch: 2, reward: 0.75, ...evaluation }));
    await log.close(0);

    const run = theRun();
    expect(log.url).toBe(`${server.url}/someone/test/runs/${run.id}`);
    expect(run).toMatchObject({ project: 'test', tags: ['short'], exitcode: 0 });
    expect(run.config.training).toEqual({ value: { learningRate: 0.1 }, desc: null });
    expect(steps()).toEqual([0, 1, 2]);
    const [first, second, last] = run.history as Record<string, unknown>[];
    expect(first).toMatchObject({ reward: 0, 'evaluation/reward': 0.5, 'evaluation/strict': 1 });
    expect(first!['evaluation/none']).toBe('NaN');
    const { values, bins } = first!.advantages as { values: number[]; bins: number[] };
    expect(values.reduce((a, b) => a + b)).toBe(3);
    expect(bins).toHaveLength(values.length + 1);
    expect(second).not.toHaveProperty('evaluation/reward');
    expect(last).toMatchObject({ 'evaluation/reward': 0.75 });
    const { path, width } = first!['evaluation/samples'] as { path: string; width: number };
    expect(run.files.get(path)!.subarray(1, 4).toString()).toBe('PNG');
    expect(run.files.get(path)!.readUInt32BE(16)).toBe(width);
    expect(run.uploaded).toContain(path);
    expect(run.summary).toMatchObject({ reward: 0.1, 'evaluation/reward': 0.75, _step: 2 });
    expect(messages).toEqual([]);
  });

  it.each(['', '{"id": "ab', 'null', '5', '{"id": 5}', '[]'])(
    'does not take a damaged wandb.json for a new run: %j',
    async (text) => {
      await writeFile(join(folder, 'wandb.json'), text);
      await expect(open(true)).rejects.toThrow(/wandb\.json is damaged.*Delete it/);
      expect(server.runs.size).toBe(0);
    },
  );

  it('loses and doubles nothing when the server is gone for a while', async () => {
    const log = await open(false, 0);
    server.failures = 3;
    for (const epoch of [0, 1, 2]) log.onEpoch(metrics(epoch), details);
    await eventually(() => expect(messages).not.toEqual([]));
    server.failures = 0;
    log.onEpoch(metrics(3), details);
    await log.close(0);
    expect(steps()).toEqual([0, 1, 2, 3]);
    expect(messages[0]).toMatch(/status 503; \d+ rows wait/);
    expect(messages.at(-1)).toContain('reached again; nothing was lost');
  });

  it('goes on with the same run after a kill: with rows that were never sent, without those that were', async () => {
    let local = await runLog(folder, 0);
    const first = await open(false, 0);
    for (const epoch of [0, 1, 2, 3]) {
      await local.onEpoch(metrics(epoch), details);
      if (epoch === 3) server.failures = 1000;
      first.onEpoch(metrics(epoch), details);
      if (epoch < 3) await eventually(() => expect(steps()).toHaveLength(epoch + 1));
    }
    await eventually(() => expect(messages).toHaveLength(1));
    expect(steps()).toEqual([0, 1, 2]);
    server.failures = 0;
    // The newest checkpoint is that of epoch 2: epochs 2 and 3 are computed again.
    local = await runLog(folder, 2);
    const second = await open(true);
    for (const epoch of [2, 3, 4]) second.onEpoch(metrics(epoch), details);
    await second.close(0);
    expect(server.runs.size).toBe(1);
    expect(steps()).toEqual([0, 1, 2, 3, 4]);
  });

  it('gives no step twice after rollbacks, a resumed run included', async () => {
    const epochs = () => theRun().history.map(({ epoch }) => epoch);
    let local = await runLog(folder, 0);
    let log = await open();
    const run = async (...list: number[]) => {
      for (const epoch of list) {
        await local.onEpoch(metrics(epoch), details);
        log.onEpoch(metrics(epoch), details);
      }
    };
    await run(0, 1, 2, 3, 2, 3, 4, 1, 2); // back to 2, then to 1
    await log.close(0);
    expect(steps()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(epochs()).toEqual([0, 1, 2, 3, 2, 3, 4, 1, 2]);
    // The newest checkpoint is that of epoch 2, which is computed again; then back once more.
    local = await runLog(folder, 2);
    log = await open(true);
    await run(2, 3, 4, 3, 4);
    await log.close(0);
    expect(steps()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(epochs().slice(9)).toEqual([3, 4, 3, 4]);
  });

  it('sends rows after a rollback that were never sent, and no other', async () => {
    const local = await runLog(folder, 0);
    const first = await open(false, 0);
    for (const epoch of [0, 1, 2, 1, 2]) {
      await local.onEpoch(metrics(epoch), details);
      if (epoch === 2) server.failures = 1000;
      first.onEpoch(metrics(epoch), details);
      if (steps().length < 2) await eventually(() => expect(steps()).toHaveLength(epoch + 1));
    }
    await first.close(1);
    expect(steps()).toEqual([0, 1]);
    server.failures = 0;
    await (await open(true)).close(0);
    expect(theRun().history.map(({ _step, epoch }) => [_step, epoch])).toEqual([
      [0, 0],
      [1, 1],
      [3, 1],
      [4, 2],
    ]);
  });

  it('has every epoch of a run that is given more epochs after its last evaluation', async () => {
    let local = await runLog(folder, 0);
    const first = await open();
    const evaluation = {
      prompts: ['red'],
      metadata: [],
      scores: [0.5],
      details: {},
      images: Float32Array.of(1, 0, 0),
      imageShape: [1, 1, 1, 3],
      seconds: 1,
    };
    for (const epoch of [0, 1]) {
      await local.onEpoch(metrics(epoch), details);
      first.onEpoch(metrics(epoch), details);
    }
    first.onEvaluation(await local.onEvaluation({ epoch: 2, reward: 0.5, ...evaluation }));
    await first.close(0);
    expect(steps()).toEqual([0, 1, 2]);
    local = await runLog(folder, 2);
    const second = await open(true);
    for (const epoch of [2, 3]) second.onEpoch(metrics(epoch), details);
    second.onEvaluation(await local.onEvaluation({ epoch: 4, reward: 0.75, ...evaluation }));
    await second.close(0);
    expect(steps()).toEqual([0, 1, 2, 3, 4, 5]);
    expect(theRun().history.slice(2)).toMatchObject([
      { 'evaluation/reward': 0.5 },
      { epoch: 2 },
      { epoch: 3 },
      { 'evaluation/reward': 0.75 },
    ]);
  });

  it('sends the history of a run that was not logged there before', async () => {
    const local = await runLog(folder, 0);
    for (const epoch of [0, 1]) await local.onEpoch(metrics(epoch), details);
    const log = await open(true);
    log.onEpoch(metrics(2), details);
    await log.close(0);
    expect(steps()).toEqual([0, 1, 2]);
    expect(theRun().history[0]).toMatchObject({ reward: 0, advantages: { _type: 'histogram' } });
  });

  it('starts a new run where one does not resume', async () => {
    await (await open()).close(0);
    await (await open()).close(1);
    expect([...server.runs.values()].map(({ exitcode }) => exitcode)).toEqual([0, 1]);
  });

  it('says what the server refuses, at once', async () => {
    const wrong = wandbClient({ baseUrl: server.url, apiKey: 'wrong' }, { retries: 5, pause: 10_000 });
    const options = { project: 'test', config: {}, resume: false };
    await expect(wandbLog(wrong, folder, server.url, options)).rejects.toThrow(
      /creating the run was answered with status 401; is WANDB_API_KEY right\?/,
    );
    const forbidden = { ...options, project: 'forbidden' };
    await expect(wandbLog(client(), folder, server.url, forbidden)).rejects.toThrow(/permission denied/);
    await server.close();
    await expect(wandbLog(client(0), folder, server.url, options)).rejects.toThrow(/cannot be reached/);
  });
});

describe('findWandb', () => {
  it('takes the key from the environment, else from netrc', async () => {
    const netrc = join(folder, 'netrc');
    await writeFile(
      netrc,
      'machine other login x password no\nmachine api.wandb.ai\n  login user\n  password yes\n',
    );
    expect(await findWandb(undefined, { WANDB_API_KEY: 'key', NETRC: netrc })).toEqual({
      baseUrl: 'https://api.wandb.ai',
      apiKey: 'key',
    });
    expect((await findWandb(undefined, { NETRC: netrc })).apiKey).toBe('yes');
    expect(
      (await findWandb(undefined, { WANDB_BASE_URL: 'http://own:1/', WANDB_API_KEY: 'k' })).baseUrl,
    ).toBe('http://own:1');
    await expect(findWandb('http://own:1', { NETRC: netrc })).rejects.toThrow(
      /no key for own; set WANDB_API_KEY.*http:\/\/own:1\/authorize/,
    );
  });
});

describe('a server that is none of Weights & Biases', () => {
  it.each([
    ['', /creating the run: no answer that can be read/],
    ['<html>', /creating the run: no answer that can be read/],
    ['null', /creating the run: no answer that can be read/],
    ['[]', /creating the run: /],
    ['{"data": null}', /creating the run: no answer that can be read/],
    ['{"data": {}}', /the run was not created in project test/],
    ['{"data": {"upsertBucket": {}}}', /creating the run: no answer that can be read/],
    ['{"data": {"upsertBucket": {"bucket": {"id": "a"}}}}', /creating the run: no answer that can be read/],
    ['{"errors": "no"}', /creating the run: no answer that can be read/],
    ['{"errors": [null, {"message": 5}, {"message": "quota"}]}', /creating the run: quota/],
  ])('is refused in words where it answers %j', async (body, message) => {
    const odd = createServer((request, response) => {
      request.resume();
      response.end(body);
    });
    await new Promise<void>((resolve) => odd.listen(0, '127.0.0.1', resolve));
    const { port } = odd.address() as AddressInfo;
    const baseUrl = `http://127.0.0.1:${port}`;
    const opening = wandbLog(
      wandbClient({ baseUrl, apiKey: standInKey }, { retries: 0, pause: 1 }),
      folder,
      baseUrl,
      { project: 'test', tags: [], config: {}, resume: false, onMessage: () => {} },
    );
    await expect(opening).rejects.toThrow(message);
    odd.closeAllConnections();
    odd.close();
  });
});
