import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { readRunFile } from 'flow-grpo';
import { expect, it } from 'vitest';

const path = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const read = async (name: string) => {
  const { origins: _, ...run } = await readRunFile(path(name), []);
  return run;
};

it("is flow_grpo's pickscore_showo2, field by field", async () => {
  const { config, setup } = await read('pickscore.yaml');
  const { devices: gpus, sampling, training, ema } = config;
  expect(setup).toMatchObject({
    kind: 'showo2',
    model: 'showlab/show-o2-1.5B', // pretrained.model
    train: ['diffusion'], // requires_grad where "diffusion" is in the name
    guidanceScale: 4.5, // sample.guidance_scale
    reward: { pickscore: 1 }, // reward_fn
  });
  const perGpu = (sampling.batchSize ?? 0) / gpus;
  const group = sampling.samplesPerPrompt;
  const batches = (sampling.promptsPerEpoch * group) / (sampling.batchSize ?? 0);
  expect(gpus).toBe(4); // gpu_number
  expect([perGpu, group]).toEqual([8, 16]); // sample.train_batch_size, sample.num_image_per_prompt
  expect(batches).toBe(Math.trunc(16 / ((gpus * perGpu) / group))); // sample.num_batches_per_epoch
  expect(batches % 2).toBe(0); // asserted there
  expect((training.batchSize ?? 0) / gpus).toBe(perGpu); // train.batch_size
  expect(batches / training.updatesPerEpoch).toBe(Math.trunc(batches / 2)); // train.gradient_accumulation_steps
  expect(sampling).toMatchObject({ numSteps: 12, evalNumSteps: 42, rule: 'sde', sameLatent: false });
  expect(sampling.window).toMatchObject({ kind: 'fixed', start: 1, end: sampling.numSteps - 1 });
  expect(sampling.noiseLevel).toBeGreaterThanOrEqual(0.1);
  expect(sampling.noiseLevel).toBeLessThanOrEqual(0.5);
  expect(training).toMatchObject({
    learningRate: 5e-6,
    innerEpochs: 1,
    maxGradNorm: 1,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 1e-4,
  });
  expect(config.algorithm).toBe('grpo');
  expect(config.grpo).toMatchObject({
    beta: 0.01,
    clipRange: 1e-3,
    advClipMax: 5,
    globalStd: true,
    perPrompt: true, // per_prompt_stat_tracking
  });
  expect(ema).toMatchObject({ enabled: true, decay: 0.9, interval: 8 });
  expect(config).toMatchObject({ seed: 42, saveEvery: 60, evalEvery: 60, keepCheckpoints: 5 });
  expect(config.evalBatchSize / gpus).toBe(4); // sample.test_batch_size
});

it.each([
  ['geneval', { geneval: { weight: 1, url: 'http://127.0.0.1:18085', onlyStrict: true } }],
  ['ocr', { ocr: 1 }],
])('%s.yaml changes prompts, reward and KL alone', async (name, reward) => {
  const pickscore = await read('pickscore.yaml');
  expect(await read(`${name}.yaml`)).toEqual({
    ...pickscore,
    output: `runs/${name}`,
    setup: { ...pickscore.setup, dataset: `dataset/${name}`, reward },
    config: { ...pickscore.config, grpo: { ...pickscore.config.grpo, beta: 0.04 } },
  });
});

it('says in its README what each line of the recipe is', async () => {
  const readme = await readFile(path('README.md'), 'utf8');
  const { config, setup } = await read('pickscore.yaml');
  const yaml = await readFile(path('pickscore.yaml'), 'utf8');
  const names = [...yaml.matchAll(/^( *)(\w+):/gm)].map(([, , name]) => name!);
  expect(names.length).toBeGreaterThan(40);
  for (const name of names) expect(readme, name).toMatch(new RegExp(`\\b${name}\\b`));
  expect(readme).toContain(`\`${setup.kind}\``);
  expect(readme).toContain(String(config.grpo.beta));
});
