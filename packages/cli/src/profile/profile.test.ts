import '@flow-grpo/tfjs-backend-xla';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { train } from '@flow-grpo/grpo-trainer';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toySetup } from '../setup/toy';
import { chromeTrace } from './chrome-trace';
import { profileTable } from './profile-table';
import { profiledEpochs } from './profiled-epochs';
import { type Profile, type ProfileRow, profiler } from './profiler';

interface TraceEvent {
  readonly ph: string;
  readonly tid: number;
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly args?: Readonly<Record<string, string>>;
}
const eventsOf = (json: string) => (JSON.parse(json) as { traceEvents: TraceEvent[] }).traceEvents;

describe('profiler', () => {
  it('divides an epoch among phases by a clock, and names what lies in none', async () => {
    let now = 0;
    const watcher = profiler(() => now);
    const scorer = watcher.watch({
      name: 'slow',
      async score() {
        now += 250;
        return { scores: [], details: {} };
      },
    });
    watcher.onPhase('rollout'); // before the start: not its business
    now = 500;
    watcher.start();
    for (let epoch = 0; epoch < 2; epoch++) {
      now += 100;
      watcher.onPhase('rollout');
      now += 200;
      watcher.onPhase('rollout'); // the next batch of the same phase
      await scorer.score(tf.zeros([0, 1, 1, 3]), [], []);
      watcher.onPhase('update');
      now += 450;
      watcher.onEpoch();
    }
    now += 10_000; // an evaluation after the last epoch
    const { epochs, secondsPerEpoch, rows } = await watcher.finish();
    expect([epochs, secondsPerEpoch]).toEqual([2, 1]);
    expect(rows.map(({ what, kind, calls, seconds }) => [what, kind, calls, seconds])).toEqual([
      ['rollout', 'phase', 1, 0.45],
      ['update', 'phase', 1, 0.45],
      ['other', 'phase', 0, expect.closeTo(0.1, 10)],
      ['slow', 'scoring', 1, 0.25],
    ]);
  });
});

it('sums up small programs in the table, and keeps the shares', () => {
  const row = (what: string, kind: ProfileRow['kind'], share: number): ProfileRow => ({
    what,
    kind,
    calls: 2,
    seconds: 4 * share,
    share,
  });
  const rows = [
    row('rollout', 'phase', 1),
    { ...row('gradientPass', 'program', 0.5), gflopsPerSecond: 98.12 },
    { ...row('optimizerStep', 'program', 0.01), gflopsPerSecond: 12_345 },
    row('Neg', 'program', 0.001),
    row('Mul', 'program', 0.001),
    { ...row('idle', 'idle', 0.498), calls: 0 },
    row('pickscore', 'scoring', 0.25),
  ];
  expect(profileTable({ epochs: 3, secondsPerEpoch: 4, rows, spans: [] }).split('\n')).toEqual([
    '4.00 s per epoch (mean of 3)',
    'phases of the trainer:',
    '  rollout                       2 ×     4.000 s  100.0 %',
    'programs on the device:',
    '  gradientPass                  2 ×     2.000 s   50.0 %  98.1 GFLOP/s',
    '  optimizerStep                 2 ×     0.040 s    1.0 %  12.3 TFLOP/s',
    '  2 others                      4 ×     0.008 s    0.2 %',
    '  idle                                  1.992 s   49.8 %',
    'scoring, which may overlap with the rest:',
    '  pickscore                     2 ×     1.000 s   25.0 %',
  ]);
});

it('writes a trace with one row per track, in microseconds', () => {
  const spans = [{ track: 'device', name: 'rollout', start: 1.5, end: 2.25, details: { images: 8 } }];
  const events = eventsOf(chromeTrace(spans, ['phases', 'device']));
  const labels = events.filter(({ name }) => name === 'thread_name');
  expect(labels.map(({ tid, args }) => [tid, args!.name])).toEqual([
    [0, 'phases'],
    [1, 'device'],
  ]);
  expect(events.at(-1)).toMatchObject({ ph: 'X', tid: 1, name: 'rollout', ts: 1500, dur: 750 });
});

describe('a profiled run', () => {
  let folder: string;
  let available = true;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'profile-'));
    available = await tf.setBackend('xla').catch(() => false);
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
    await tf.setBackend('cpu');
  });

  it('shows phases, programs and scoring of the epochs after the first', async () => {
    if (!available) throw new Error('no PJRT plugin is installed; run the set-up command');
    const { policy, prompts, scorer } = toySetup();
    const messages: string[] = [];
    const epochs = 4;
    const profile = profiledEpochs(folder, scorer!, {
      count: 2,
      left: epochs,
      onMessage: (message) => messages.push(message),
    });
    const result = await train({
      policy: policy!,
      prompts: prompts!,
      scorer: profile.scorer,
      config: {
        epochs,
        sampling: { numSteps: 6, promptsPerEpoch: 4, samplesPerPrompt: 4, batchSize: 8 },
        training: { updatesPerEpoch: 1 },
      },
      onProgress: ({ phase }) => profile.onPhase(phase),
      onEpoch: () => profile.onEpoch(),
    });
    tf.dispose([result.trained, result.ema]);
    await profile.close();
    expect(messages).toHaveLength(1); // it ended by itself after two epochs

    const saved = JSON.parse(await readFile(join(folder, 'profile.json'), 'utf8')) as Omit<Profile, 'spans'>;
    const { rows } = saved;
    expect(saved.epochs).toBe(2);
    expect(messages[0]).toContain(profileTable({ ...saved, spans: [] }));
    const calls = Object.fromEntries(rows.map(({ what, kind, calls: n }) => [`${kind} ${what}`, n]));
    expect(calls).toMatchObject({
      'program rollout': 2, // two batches
      'program decode': 2,
      'program gradientPass': 1,
      'program optimizerStep': 1,
      'scoring nearness': 2,
    });
    const gradients = rows.find(({ what }) => what === 'gradientPass')!;
    expect(gradients.gflopsPerSecond).toBeGreaterThan(0);
    for (const kind of ['phase rollout', 'phase update', 'phase other', 'idle idle'])
      expect(calls).toHaveProperty([kind]);
    const share = (kinds: string[]) =>
      rows.filter(({ kind }) => kinds.includes(kind)).reduce((sum, { share: part }) => sum + part, 0);
    expect(share(['phase'])).toBeCloseTo(1, 6);
    expect(share(['program', 'idle'])).toBeCloseTo(1, 6);

    const events = eventsOf(await readFile(join(folder, 'trace.json'), 'utf8'));
    const track = (name: string) => {
      const tid = events.find((event) => event.args?.name === name)!.tid;
      return events.filter((event) => event.ph === 'X' && event.tid === tid);
    };
    expect(track('device').filter(({ name }) => name === 'rollout')).toHaveLength(4);
    expect(track('host').some(({ name }) => name === 'dispatch gradientPass')).toBe(true);
    expect(track('scoring')).toHaveLength(4);
    expect(track('phases').map(({ name }) => name)).toContain('update');
    // Time is given to one program at a time, so the shares add up; what is over within another one's time gets none.
    const device = track('device')
      .filter(({ dur }) => dur > 0)
      .sort((a, b) => a.ts - b.ts);
    for (const [i, { ts }] of device.slice(1).entries())
      expect(ts).toBeGreaterThanOrEqual(device[i]!.ts + device[i]!.dur - 1);
  });
});
