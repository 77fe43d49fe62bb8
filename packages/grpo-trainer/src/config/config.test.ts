import { describe, expect, it } from 'vitest';
import { schemaLeaves } from './leaves';
import { ConfigError, resolveConfig } from './resolve';
import { grpoConfigSchema } from './schema';
import { flowGrpoNames } from './suggest';

describe('resolveConfig', () => {
  it('fills in defaults', () => {
    const config = resolveConfig({});
    expect(config.grpo.clipRange).toBe(1e-4);
    expect(config.sampling.window).toMatchObject({ kind: 'fixed', start: 1 });
  });

  it.each([
    [{ sampling: { windwo: {} } }, /sampling.windwo is not an option; did you mean sampling.window\?/],
    [{ zebra: 1 }, /^zebra is not an option$/],
    [{ epochs: 'many' }, /^epochs: /],
    [{ sampling: { samplesPerPrompt: 1 } }, /at least 2/],
    [{ sampling: { numSteps: 1e9 } }, /sampling.numSteps: .*<=10000/],
    [{ sampling: { evalNumSteps: 1e9 } }, /sampling.evalNumSteps: .*<=10000/],
    [{ sampling: { samplesPerPrompt: 1e8 } }, /sampling.samplesPerPrompt: .*<=1048576/],
    [
      { sampling: { samplesPerPrompt: 1e5, promptsPerEpoch: 1e5 } },
      /an epoch has 10000000000 images .*more than 1048576/,
    ],
    [{ sampling: { batchSize: 7 } }, /18.29 batches .*would work: 1, 2, 4, 8, 16, 32/],
    [
      { sampling: { batchSize: 128 / 4 }, training: { updatesPerEpoch: 3 } },
      /makes 4 batches per epoch, which training.updatesPerEpoch \(3\) does not divide. These would work: 128/,
    ],
    [{ devices: 4, sampling: { batchSize: 2 } }, /multiple of devices \(4\). These would work: 4, 8, 16/],
    [{ devices: 3 }, /devices \(3\) must divide the 128 images .* promptsPerEpoch 6, 9 would/],
    [
      { sample: { num_steps: 10, guidance: 1 } },
      /sample.num_steps is not .* mean sampling.numSteps\?\nsample.guidance is not an option$/,
    ],
    [{ grpo: { clip_range: 1 } }, /did you mean grpo.clipRange\?/],
    [{ training: { clipRange: 1 } }, /training.clipRange is not an option; did you mean grpo.clipRange\?/],
    [{ training: { objective: 'dpo' } }, /training.objective is not an option; did you mean algorithm\?/],
    [{ training: { klOn: 'velocity' } }, /did you mean grpo.klTarget\?/],
    [{ guard: { action: 'off' } }, /guard.action is not an option; did you mean divergence.action\?/],
    [{ algorithm: 'ppo' }, /algorithm: .*"grpo"/],
    [{ num_epochs: 3 }, /did you mean epochs\?/],
    [{ learningRate: 1 }, /did you mean training.learningRate\?/],
    [{ sampling: { window: { start: 0 } } }, /window.start is 0/],
    [{ sampling: { window: { end: 13 } } }, /do not lie in 0 … 11/],
    [{ sampling: { window: { kind: 'random' } } }, /size is needed/],
    [{ sampling: { window: { kind: 'random', size: 11 } } }, /larger than the range/],
    [{ sampling: { window: { size: 3 } } }, /leave it out/],
    [{ sampling: { rule: 'cps', window: { end: 12 } } }, /last CPS step/],
    [{ sampling: { rule: 'cps', noiseLevel: 2 } }, /at most 1/],
    [{ sampling: { noiseLevel: 0 } }, /no log-probability/],
    [{ sampling: { rule: 'cps' }, algorithm: 'guard' }, /needs sampling.rule sde/],
    [{ algorithm: 'dpo', dpo: { beta: 0 } }, /dpo.beta: /],
    [{ shardParameters: true }, /shardParameters splits weights over devices, and devices is 1/],
    [{ shardFrozen: true }, /shardFrozen splits weights over devices, and devices is 1/],
    [{ devices: 4, shardDevices: 2 }, /shardDevices .*none are; set shardParameters or shardFrozen too/],
    [{ devices: 4, shardFrozen: true, shardDevices: 3 }, /shardDevices \(3\) must .* divide devices \(4\)/],
    [{ devices: 4, shardFrozen: true, shardDevices: 1 }, /shardDevices \(1\) must be above 1/],
    [{ training: { stepsPerPass: 3 } }, /training.stepsPerPass \(3\) must divide the 10 steps that train/],
    [{ training: { updatesPerEpoch: 1000 } }, /larger than the 128 images/],
  ])('refuses %j', (input, message) => {
    expect(() => resolveConfig(input)).toThrow(ConfigError);
    expect(() => resolveConfig(input)).toThrow(message);
  });

  it('lists every problem at once', () => {
    expect(() => resolveConfig({ sampling: { noiseLevel: 0, batchSize: 7 } })).toThrow(/\n/);
  });

  it('takes the recipe: four devices, batches of whole groups, two updates', () => {
    const recipe = { promptsPerEpoch: 16, samplesPerPrompt: 24 };
    expect(() => resolveConfig({ devices: 4, sampling: { ...recipe, batchSize: 96 } })).not.toThrow();
    expect(() => resolveConfig({ devices: 4, sampling: { ...recipe, batchSize: 128 } })).toThrow(
      /makes 3 batches .*\(2\) does not divide. These would work: 24, 32, 48, 64, 96, 192/,
    );
  });
});

describe("flow_grpo's names", () => {
  const told = schemaLeaves(grpoConfigSchema).filter(({ flowGrpo }) => flowGrpo);

  it.each([
    ['train.beta', ['train.beta']],
    ['save_dir, logdir', ['save_dir', 'logdir']],
    ['sample.sde_window_range[0]', ['sample.sde_window_range']],
    ['num_batches / gradient_accumulation_steps', ['num_batches', 'gradient_accumulation_steps']],
    ['MixGRPO: iters_per_group', ['iters_per_group']],
    ["use_lora, upstream's filter", ['use_lora']],
    ['GPUs of accelerate launch', []],
    ['wandb.init project', []],
    ['the number in flow_grpo’s reward_fn', []],
  ])('in %j', (flowGrpo, names) => expect(flowGrpoNames({ flowGrpo })).toEqual(names));

  it.each(told)('of $path lead to it; the other words in $flowGrpo do not', (leaf) => {
    const names = flowGrpoNames(leaf);
    const answer = (key: string) => {
      const input = key.split('.').reduceRight<unknown>((value, part) => ({ [part]: value }), 1);
      try {
        resolveConfig(input);
      } catch (error) {
        return (error as Error).message;
      }
      return '';
    };
    for (const name of names)
      if (name !== leaf.path) expect(answer(name), name).toMatch(/; did you mean [\w.-]+\?$/);
    for (const word of leaf.flowGrpo!.match(/[\w.]+/g)!) {
      // A word that is our own name of the option finds it as a known name in the wrong place.
      const leads = leaf.path.endsWith(`.${word}`) || names.includes(word);
      if (!leads) expect(answer(word), word).not.toContain(`${leaf.path}?`);
    }
  });
});
