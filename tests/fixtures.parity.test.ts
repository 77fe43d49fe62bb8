import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fixtureCases } from '@flow-grpo/test-support';
import { expect, it } from 'vitest';
import { repositoryFiles } from './support/src/repository';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Every kind of case, by the beginning of its folder's name, and the packages whose suites compare with it. */
const SUITES: Record<string, readonly string[]> = {
  'showo2-tiny': ['showo2-model'],
  'showo2-text': ['showo2-model'],
  'showo2-video': ['showo2-model'],
  'showo2-mixed': ['showo2-model'],
  'wanvae-': ['showo2-model'],
  tokenizer: ['showo2-model'],
  checkpoints: ['checkpoint-io'],
  'sde-step': ['sde-sampler'],
  'grpo-loss': ['grpo-trainer', 'datasets'],
  'objective-': ['grpo-trainer'],
  'rewards-': ['rewards'],
  'z-image-transformer': ['z-image-model'],
  'z-image-text': ['z-image-model'],
  'z-image-vae': ['z-image-model'],
  'z-image-pipeline': ['z-image-model'],
  'z-image-lora': ['z-image-model'],
};

/** Kinds of case that nothing here compares with yet, and why. This list may only shrink: a kind with a suite must leave it. */
const NOT_YET: Record<string, string> = {};

const cases = fixtureCases('').map(({ name }) => name);
const isOf = (kinds: Record<string, unknown>) => (name: string) =>
  Object.keys(kinds).some((kind) => name.startsWith(kind));

/** The kinds that suites ask for, by package. */
const asked = repositoryFiles((path) => /^packages\/.*\.test\.ts$/.test(path)).flatMap((path) =>
  [...readFileSync(join(root, path), 'utf8').matchAll(/fixtureCases\(\s*['"`]([\w-]+)/g)].map(([, kind]) => ({
    kind: kind!,
    package: path.split('/')[1]!,
  })),
);

it('has a suite for every case folder, or a reason', () => {
  const waiting = cases.filter(isOf(NOT_YET));
  for (const name of waiting) {
    const [, reason] = Object.entries(NOT_YET).find(([kind]) => name.startsWith(kind))!;
    console.log(`${name}: not yet supported (${reason})`);
  }
  expect(cases.filter((name) => !isOf(SUITES)(name) && !isOf(NOT_YET)(name))).toEqual([]);
});

it.each(Object.entries(SUITES))('has cases of %s, and suites of %j that read them', (kind, packages) => {
  expect(cases.filter((name) => name.startsWith(kind))).not.toEqual([]);
  for (const name of packages) {
    expect(existsSync(join(root, 'packages', name))).toBe(true);
    const read = asked.filter((each) => each.package === name && each.kind.startsWith(kind));
    expect(read, `packages/${name}`).not.toEqual([]);
  }
});

it('lists nothing as not yet supported that a suite reads', () => {
  const supported = Object.keys(NOT_YET).filter((kind) =>
    asked.some((each) => each.kind.startsWith(kind) || kind.startsWith(each.kind)),
  );
  expect(supported).toEqual([]);
});
