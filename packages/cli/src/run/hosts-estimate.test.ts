import { resolveConfig } from '@flow-grpo/grpo-trainer';
import { epochPlan } from '@flow-grpo/grpo-trainer/config';
import { describe, expect, it } from 'vitest';
import { estimateHosts, hostsTable, onHosts } from './hosts-estimate';
import { memoryOf } from './memory-estimate';

const config = resolveConfig({
  devices: 8,
  sampling: { promptsPerEpoch: 8, samplesPerPrompt: 8, batchSize: 16, numSteps: 10 },
  training: { batchSize: 16, updatesPerEpoch: 2 },
});
const model = {
  weightBytes: 3e9,
  parameters: 1.5e9,
  trainedParameters: 8e8,
  referenceCopies: true,
  latentSize: 10_000,
  featureBytes: 2e6,
};

describe('a run on many hosts', () => {
  it.each([1, 2, 8, 64, 256])('%d does as much on each device as on one', (hosts) => {
    const [one, many] = [epochPlan(config), epochPlan(onHosts(config, hosts))];
    expect(many.epochSize).toBe(hosts * one.epochSize);
    expect(many.batchSize).toBe(hosts * one.batchSize);
    expect(many.rowsPerPass).toBe(hosts * one.rowsPerPass);
    expect(many.batches).toBe(one.batches);
    const estimate = estimateHosts(model, config, { hosts, bandwidth: 25e9, seconds: 60 });
    expect(estimate).toMatchObject({ devices: 8 * hosts, memory: memoryOf(model, config) });
    const others = (hosts - 1) / hosts;
    expect(estimate.gradientBytes).toBeCloseTo(2 * others * 4 * 8e8 * 2, 0);
    // Records of steps stay where they are.
    expect(estimate.rowBytes).toBe(0);
    expect(estimate.efficiency).toBeCloseTo(60 / (60 + estimate.gradientBytes! / 25e9), 9);
  });

  it.each([1, 2, 64])('%d exchange latents, where nothing else is kept', (hosts) => {
    const nft = resolveConfig({ ...config, algorithm: 'nft' });
    const { rowBytes, gradientBytes, efficiency } = estimateHosts(model, nft, {
      hosts,
      bandwidth: 25e9,
      seconds: 60,
    });
    const kept = memoryOf(model, nft).samples! * 8 * hosts;
    expect(rowBytes).toBeCloseTo(((hosts - 1) / hosts) * kept, 0);
    expect(efficiency).toBeCloseTo(60 / (60 + (gradientBytes! + rowBytes!) / 25e9), 9);
  });

  it('with split parameters needs less memory each, and says what it does not know', () => {
    const split = { ...config, shardParameters: true };
    const question = { hosts: 4, bandwidth: 1e9 };
    const estimate = estimateHosts(model, split, question);
    expect(estimate.memory.training).toBeCloseTo(memoryOf(model, split).training / 4, 0);
    expect(estimate).toMatchObject({ gradientBytes: undefined, efficiency: undefined });
    expect(hostsTable(question, estimate)).toMatch(/split, not estimated.*\n.*not estimated.*\n.*arithmetic/);
  });

  it('is told in a table', () => {
    const question = { hosts: 32, bandwidth: 50e9, seconds: 100 };
    const table = hostsTable(question, estimateHosts(model, config, question));
    expect(table).toMatch(/32, 256 devices, 2048 images per epoch/);
    expect(table).toMatch(/each host sends 12\.4 GB of gradients per epoch/);
    expect(table).toMatch(/at 50 GB\/s: \d\d\.\d % of 32 times one host's speed/);
  });
});
