/** For tests: a setup of your own whose adapters train, or those that the command was given. */
import { gaussianFlow, loraPolicy, type Policy } from '@flow-grpo/grpo-trainer';
import { defineSetup } from '../setup';

const prompts = ['a', 'b'];

export default defineSetup((_, { adapter }) => {
  const plain = gaussianFlow({ prompts, mean: [0.5, 0.5], std: 0.1 });
  const { adapters, ...scale } = adapter ?? { adapters: undefined, rank: 2, alpha: 4 };
  return {
    policy: loraPolicy(plain, { ...scale, ...(adapters && { start: adapters }) }) as Policy,
    prompts: prompts.map((prompt) => ({ prompt })),
    baseModel: 'someone/flow',
    scorer: {
      name: 'red',
      async score(images) {
        const pixels = await images.data();
        return { scores: Array.from({ length: images.shape[0] }, (_, i) => pixels[3 * i]!), details: {} };
      },
    },
  };
});
