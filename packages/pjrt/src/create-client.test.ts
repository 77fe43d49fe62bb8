import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createClient, pluginOptions } from './create-client';

beforeEach(() => void vi.stubEnv('FLOW_GRPO_XLA_MEMORY_FRACTION', ''));
afterEach(() => vi.unstubAllEnvs());

const threads = () => Number(/^Threads:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]);

it('gives virtual CPU devices a thread for each of many collectives under way, and leaves the environment alone', async () => {
  const before = threads();
  const client = await createClient({ platform: 'cpu', devices: 2 });
  expect(client.devices).toHaveLength(2);
  expect(threads() - before).toBeGreaterThanOrEqual(Math.max(64, availableParallelism()));
  expect(process.env.NPROC).toBeUndefined();
  client.dispose();
});

describe('a plugin is given what its kind takes', () => {
  const asked = { devices: 4, preallocate: false };
  const found = (platform: 'cpu' | 'cuda') => ({ path: '/plugin.so', platform, source: 'option' }) as const;

  it('devices on a CPU, preallocation on CUDA', () => {
    expect(pluginOptions(found('cpu'), asked)).toEqual({ cpu_device_count: 4 });
    vi.stubEnv('CUDA_VISIBLE_DEVICES', '0,1,2,3');
    expect(pluginOptions(found('cuda'), asked)).toEqual({ preallocate: false });
  });

  it('the first GPUs where fewer are asked for than there are, unless others are chosen', () => {
    const visible = (environment: string, devices: number) => {
      vi.stubEnv('CUDA_VISIBLE_DEVICES', environment);
      return pluginOptions(found('cuda'), { devices }).visible_devices;
    };
    expect(visible('0,1,2,3', 1)).toEqual([0]);
    expect(visible('4,GPU-5,6', 2)).toEqual([0, 1]);
    expect(visible('4', 2)).toBeUndefined();
    expect(visible('', 1)).toBeUndefined();
    expect(visible('4,-1,5', 1)).toBeUndefined();
    expect(visible('-1', 1)).toBeUndefined();
    vi.stubEnv('CUDA_VISIBLE_DEVICES', '0,1');
    const options = { visible_devices: [1] };
    expect(pluginOptions(found('cuda'), { devices: 1, options })).toEqual(options);
  });

  it.each([0, -1, 1.5, Number.NaN])('%d devices are refused', (devices) => {
    expect(() => pluginOptions(found('cpu'), { devices })).toThrow('devices must be a positive integer');
  });

  it('and its own options, before the others', () => {
    const options = { cpu_device_count: 2, asynchronous: true };
    expect(pluginOptions(found('cpu'), { ...asked, options })).toEqual(options);
  });
});
