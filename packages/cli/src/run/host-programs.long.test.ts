/** The dry run for many hosts: programs that XLA has partitioned for devices which are not there. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveConfig } from '@flow-grpo/grpo-trainer';
import { configure, startXla } from '@flow-grpo/tfjs-backend-xla';
import { type Collective, deviceInfo } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolveRunFile } from '../run-file/schema';
import { setupSchemaOf } from '../run-file/setup-schema';
import { modelSizes } from '../setup/model-sizes';
import { placeholderPolicy } from '../setup/placeholder-policy';
import { writeTinyShowo2 } from '../setup/testing/tiny-showo2';
import { compileForHosts, needsOf, sentBetween } from './host-programs';
import { onHosts } from './hosts-estimate';
import { planRun } from './plan-run';

const HOSTS = 4;
/** Of one host. */
const DEVICES = 2;

let folder: string;
let setup: { kind: 'showo2'; model: string; dataset: string; reward: Record<string, number> };
beforeAll(async () => {
  configure({ devices: HOSTS * DEVICES });
  await startXla();
  folder = await mkdtemp(join(tmpdir(), 'hosts-'));
  setup = { kind: 'showo2', ...(await writeTinyShowo2(folder)), reward: { jpeg_compressibility: 1 } };
});
afterAll(() => rm(folder, { recursive: true }));

const config = {
  devices: DEVICES,
  sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4, batchSize: 4 },
  training: { batchSize: 4, updatesPerEpoch: 2 },
};
const compiled = async (more: object = {}) => {
  const options = setupSchemaOf(setup).parse(setup) as Parameters<typeof placeholderPolicy>[0];
  const policy = await placeholderPolicy(options, {});
  const sizes = await modelSizes(options, {});
  return {
    sizes,
    needs: await compileForHosts(policy, onHosts(resolveConfig({ ...config, ...more }), HOSTS), HOSTS),
  };
};

describe('an epoch compiled for hosts that are not there', () => {
  it('takes no memory of its weights, and sums all gradients once per update', async () => {
    const before = tf.memory().numTensors;
    const { sizes, needs } = await compiled();
    expect(tf.memory().numTensors).toBe(before);
    expect(needs.compiledFor).toBe(`${HOSTS * DEVICES} virtual CPU devices`);
    const gradients =
      (2 * (HOSTS - 1) * 4 * sizes.trainedParameters * config.training.updatesPerEpoch) / HOSTS;
    // Besides the gradients some numbers: metrics, the ratio of each row.
    expect(needs.sent['all-reduce']! / gradients).toBeGreaterThanOrEqual(1);
    expect(needs.sent['all-reduce']! / gradients).toBeLessThan(1.1);
    // Images train where they were drawn; where only latents are kept these are dealt to all.
    expect(needs.sent['reduce-scatter'] ?? 0).toBe(0);
    const { needs: dealt } = await compiled({ algorithm: 'nft' });
    expect(dealt.sent['reduce-scatter']).toBeGreaterThan(0);
    expect(needs.temporary.bytes).toBeGreaterThan(0);
  });

  it('with weights in parts gathers them, across hosts unless each host has a copy', async () => {
    const split = { shardParameters: true, shardFrozen: true };
    const { needs: across } = await compiled(split);
    const { needs: within } = await compiled({ ...split, shardDevices: DEVICES });
    const { needs: whole } = await compiled();
    const gathered = (sent: Readonly<Record<string, number>>) => sent['all-gather'] ?? 0;
    expect(gathered(across.sent)).toBeGreaterThan(10 * gathered(whole.sent));
    // What is left is of rows and metrics.
    expect(gathered(within.sent)).toBeLessThan(gathered(across.sent) / 4);
  });

  it('is told by the plan of a run, with where it is from; without compiling it is arithmetic', async () => {
    const run = resolveRunFile({ output: join(folder, 'run'), epochs: 3, ...config, setup });
    const question = { hosts: HOSTS, bandwidth: 1e9 };
    const { text } = await planRun(run, {}, { ...question, compile: true });
    expect(text).toMatch(/^network +each host sends .* by all-reduce.* per epoch$/m);
    expect(text).toMatch(/^from +rollouts and updates compiled by XLA for 8 virtual CPU devices/m);
    expect(text).toMatch(/^memory +.* per device before activations, and .* for \w+ while it runs$/m);
    expect((await planRun(run, {}, question)).text).toMatch(/^from +arithmetic/m);
    // This process's XLA has fewer devices than that.
    const { text: more } = await planRun(run, {}, { ...question, hosts: 64, compile: true });
    expect(more).toMatch(/could not be compiled: XLA is already running, with 8 devices of the 128/);
    expect(deviceInfo()).toHaveLength(HOSTS * DEVICES);
  });
});

describe('bytes between hosts', () => {
  const of = (operation: string, groups: number[][]): Collective => ({
    operation,
    bytes: 100,
    groups,
    times: 1,
  });
  it.each<[Collective, number, string]>([
    [of('all-reduce', [[0, 1, 2, 3]]), 200, 'two hosts in one ring, twice around'],
    [
      of('all-reduce', [
        [0, 2],
        [1, 3],
      ]),
      400,
      'two rings',
    ],
    [
      of('all-reduce', [
        [0, 1],
        [2, 3],
      ]),
      0,
      'within hosts',
    ],
    [of('all-gather', [[0, 1, 2, 3]]), 100, 'each host gets the half of the other'],
    [of('reduce-scatter', [[0, 1, 2, 3]]), 100, 'the same'],
    [
      of('collective-permute', [
        [0, 1],
        [1, 2],
        [3, 0],
      ]),
      200,
      'two pairs of three',
    ],
    [of('all-to-all', [[0, 1, 2, 3]]), 200, 'half of what each device has'],
  ])('%j: %d', (collective, bytes) => {
    expect(sentBetween(collective, 2)).toBe(bytes);
  });

  it('are those of all calls, divided among hosts', () => {
    const cost = () => ({
      ...{
        flops: 0,
        xlaFlops: 0,
        bytesAccessed: 0,
        argumentBytes: 9,
        outputBytes: 5,
        aliasedBytes: 3,
        temporaryBytes: 7,
      },
      collectives: [{ ...of('all-reduce', [[0, 1, 2, 3]]), times: 3 }],
    });
    const programs = [{ name: 'pass', calls: 5, cost }];
    expect(needsOf(programs, 2, 2)).toEqual({
      sent: { 'all-reduce': (200 * 15) / 2 },
      temporary: { bytes: 9, program: 'pass' },
    });
  });
});
