import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { expect, it } from 'vitest';
import { createClient } from './create-client';

const threads = () => Number(/^Threads:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]);

it('gives virtual CPU devices a thread for each of many collectives under way, and leaves the environment alone', async () => {
  const before = threads();
  const client = await createClient({ platform: 'cpu', options: { cpu_device_count: 2 } });
  expect(client.devices).toHaveLength(2);
  expect(threads() - before).toBeGreaterThanOrEqual(Math.max(64, availableParallelism()));
  expect(process.env.NPROC).toBeUndefined();
  client.dispose();
});
