import { rotaryFrequencies, timestepFeatures } from '@flow-grpo/nn';
import { expectClose, fixtureCases, maxAbs, numbers } from '@flow-grpo/test-support';
import { describe, it } from 'vitest';
import { parseShowo2Config } from '../src/index';
import { loadCase, toTensor } from './case';

describe.each(fixtureCases('showo2-tiny'))('$name', ({ dir }) => {
  const { config, read } = loadCase(dir);
  const constants = read('constants.safetensors');
  const real = parseShowo2Config({ hidden_size: 1536, image_latent_height: 27, image_latent_width: 27 });

  it('has the rotary frequencies of this model and of the published one', () => {
    for (const [name, one] of [
      ['', config],
      ['real_', real],
    ] as const) {
      const { trunk, head } = one;
      const expected = {
        llm: rotaryFrequencies(trunk.headDim, trunk.ropeTheta),
        head: rotaryFrequencies(head.headDim, head.ropeTheta, head.ropeScaling),
      };
      for (const [part, frequencies] of Object.entries(expected)) {
        const want = numbers(constants[`${name}${part}_inv_freq`]!);
        const relative = Array.from(frequencies, (f, i) => f / want[i]!);
        expectClose(relative, new Array(want.length).fill(1), 1e-6, `${name}${part}`);
      }
    }
  });

  it('has the timestep features', () => {
    const made = timestepFeatures(toTensor(constants.timesteps!), config.timeFeatures).dataSync();
    const want = numbers(constants.timestep_embedding!);
    expectClose(made, want, 1e-6 * maxAbs(want), 'timestep_embedding');
  });
});
