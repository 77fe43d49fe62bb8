import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { createClient } from '../src/index';
import { f32 } from './plugin';

it('frees what was collected without dispose(), and warns once', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const warnings: string[] = [];
  const listen = (warning: Error) => warnings.push(warning.name);
  process.on('warning', listen);
  const client = await createClient({ platform: 'cpu', finalizeLeaks: true });
  const kept = f32(client, [1]);
  for (let i = 0; i < 50; i++) f32(client, [i]);
  f32(client, [1]).dispose();
  for (let attempt = 0; attempt < 50 && client.liveBuffers > 1; attempt++) {
    collect();
    await sleep(10);
  }
  expect(client.liveBuffers).toBe(1);
  kept.dispose();
  await sleep(10);
  process.off('warning', listen);
  expect(warnings.filter((name) => name === 'PjrtLeakWarning')).toHaveLength(1);
  client.dispose();
});
