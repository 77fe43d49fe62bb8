/** A model by hub id, from a server that speaks the hub's protocol. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFiles } from '@flow-grpo/checkpoint-io';
import { fixtureCases, StandInHub } from '@flow-grpo/test-support';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadZImage, ZImage, zImageRequiredFiles } from '../src/node';

const source = fixtureCases('z-image-pipeline')[0]!.dir;
const folder = mkdtempSync(join(tmpdir(), 'z-image-hub-'));
let hub: StandInHub;

beforeAll(async () => {
  // As the hub has it: the case's own files beside what nobody asks for.
  const files = readdirSync(source, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const repository = Object.fromEntries(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(source.length + 1), readFileSync(path)];
    }),
  );
  hub = new StandInHub({ 'org/z-image': { ...repository, 'README.md': Buffer.from('hello') } });
  await hub.start();
});
afterAll(async () => {
  await hub.stop();
  rmSync(folder, { recursive: true });
});

describe('a model by hub id', () => {
  let cacheDir: string;
  const hubOf = (offline = false) => ({ endpoint: hub.endpoint, cacheDir, offline });
  beforeEach(() => {
    cacheDir = mkdtempSync(join(folder, 'cache-'));
    hub.requests.length = 0;
  });

  it('draws what the same model in a folder draws', async () => {
    const draw = async (id: string) => {
      const model = await ZImage.fromPretrained(id, { hub: hubOf(), dtype: 'float32' });
      const image = await model.generate(['a fox'], { size: [32, 32], steps: 1, guidanceScale: 0 });
      return image.dataSync();
    };
    expect(await draw('org/z-image')).toEqual(await draw(source));
  });

  it.each([true, false])(
    'checked, is loaded without asking for another file, text encoder: %s',
    async (textEncoder) => {
      const [required] = zImageRequiredFiles('org/z-image', { textEncoder });
      const found = async (offline: boolean) => findFiles(required!, { hub: hubOf(offline) });
      const announced = (await found(false)).files.map(({ file }) => file);
      expect(announced.some((file) => file.startsWith('text_encoder/'))).toBe(textEncoder);
      await loadZImage('org/z-image', { hub: hubOf(), textEncoder });
      const asked = hub.requests
        .filter(({ method }) => method === 'GET')
        .flatMap(({ url }) => /org\/z-image\/(?:resolve\/\w+\/)?(.+)$/.exec(url)?.[1] ?? []);
      expect([...new Set(asked)].filter((file) => !file.startsWith('revision')).sort()).toEqual(
        [...new Set(announced)].sort(),
      );
      expect((await found(true)).downloadBytes).toBe(0);
      hub.requests.length = 0;
      await loadZImage('org/z-image', { hub: hubOf(true), textEncoder });
      expect(hub.requests).toEqual([]);
    },
  );

  it('says where to get a model that is not there', async () => {
    await expect(loadZImage('org/none', { hub: hubOf() })).rejects.toThrow(
      /org\/none.*Tongyi-MAI\/Z-Image-Turbo/s,
    );
  });
});
