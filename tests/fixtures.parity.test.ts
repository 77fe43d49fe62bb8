import { fixtureCases } from '@flow-grpo/test-support';
import { expect, it } from 'vitest';

/** Every kind of case, and the suite that compares with it. A new kind of folder fails here until it has one. */
const SUITES: Record<string, string> = {
  'showo2-tiny': 'packages/showo2-model',
  'showo2-text': 'packages/showo2-model',
  'showo2-video': 'packages/showo2-model',
  'showo2-mixed': 'packages/showo2-model',
  'wanvae-': 'packages/showo2-model',
  tokenizer: 'packages/showo2-model',
  checkpoints: 'packages/checkpoint-io',
  'sde-step': 'packages/sde-sampler',
  'grpo-loss': 'packages/grpo-trainer, packages/datasets',
  'objective-': 'packages/grpo-trainer',
  'rewards-': 'packages/rewards',
};

/** Cases whose scorer does not exist yet; FEATURES.md says so too. */
const NOT_YET: string[] = [];

it('has a suite for every case folder', () => {
  const known = [...Object.keys(SUITES), ...NOT_YET];
  const unknown = fixtureCases('')
    .map(({ name }) => name)
    .filter((name) => !known.some((prefix) => name.startsWith(prefix)));
  expect(unknown).toEqual([]);
});
