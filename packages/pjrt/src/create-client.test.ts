import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { createClient, pluginOptions } from './create-client';

const threads = () => Number(/^Threads:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]);

it('gives virtual CPU devices a thread for each of many collectives under way, and leaves the environment alone', async () => {
  const before = threads();
  const client = await createClient({ platform: 'cpu', cpuDevices: 2 });
  expect(client.devices).toHaveLength(2);
  expect(threads() - before).toBeGreaterThanOrEqual(Math.max(64, availableParallelism()));
  expect(process.env.NPROC).toBeUndefined();
  client.dispose();
});

describe('a plugin is given what its kind takes', () => {
  const asked = { cpuDevices: 4, preallocate: false };
  const found = (platform: 'cpu' | 'cuda') => ({ path: '/plugin.so', platform, source: 'option' }) as const;

  it('devices on a CPU, preallocation on CUDA', () => {
    expect(pluginOptions(found('cpu'), asked)).toEqual({ cpu_device_count: 4 });
    expect(pluginOptions(found('cuda'), asked)).toEqual({ preallocate: false });
  });

  it('and its own options, before the others', () => {
    const options = { cpu_device_count: 2, asynchronous: true };
    expect(pluginOptions(found('cpu'), { ...asked, options })).toEqual(options);
  });
});
