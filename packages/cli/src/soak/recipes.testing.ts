/** What a soak trains: run files, and what differs from them. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tinyOverrides } from '../../../../examples/pickscore-4gpu/src/tiny';
import { readRunFile } from '../run-file/read';

export interface SoakRecipe {
  /** A run file, or what is the default. */
  readonly file?: string;
  readonly overrides: readonly string[];
  /** Bytes that a disk still takes when it fills: some epochs, not all. */
  readonly diskBytes: number;
}

const EXAMPLE = fileURLToPath(new URL('../../../../examples/pickscore-4gpu/', import.meta.url));

/** Checkpoints often enough for kills, and no evaluation. */
const OFTEN = ['saveEvery=3', 'keepCheckpoints=2', 'evalEvery=1000000'];

/** By name: `toy` takes milliseconds per epoch, `tiny` is the recipe for PickScore with small random weights, on four devices. */
export const SOAK_RECIPES = {
  toy: async (): Promise<SoakRecipe> => ({
    overrides: [
      ...OFTEN,
      'sampling.numSteps=4',
      'sampling.promptsPerEpoch=4',
      'sampling.samplesPerPrompt=4',
      'sampling.batchSize=8',
      'training.learningRate=1e-3',
    ],
    diskBytes: 30_000,
  }),
  tiny: async (folder: string): Promise<SoakRecipe> => {
    const file = join(EXAMPLE, 'pickscore.yaml');
    const smaller = await tinyOverrides(await readRunFile(file, []), folder, join(EXAMPLE, 'prompts'));
    const reward = 'setup.reward={"jpeg_compressibility": 1}'; // that of the server takes its place
    return { file, overrides: [...smaller, ...OFTEN, reward], diskBytes: 1_000_000 };
  },
};

export type SoakRecipeName = keyof typeof SOAK_RECIPES;

export function isSoakRecipe(name: string): name is SoakRecipeName {
  return Object.hasOwn(SOAK_RECIPES, name);
}
