/** The recipe as people change it: without guidance, with fewer steps that train, with other algorithms. */

export interface RecipeVariant {
  /** As the table in docs/recipe.md calls it. */
  readonly label: string;
  readonly overrides: readonly string[];
}

const algorithm = (name: string, label: string, ...overrides: string[]): RecipeVariant => ({
  label,
  overrides: [`algorithm=${name}`, ...overrides],
});

/** By case: `recipe.NAME`. Each is one run on one GPU. */
export const RECIPE_VARIANTS: Readonly<Record<string, RecipeVariant>> = {
  withoutGuidance: { label: 'without guidance', overrides: ['setup.guidanceScale=0'] },
  unguidedUpdates: { label: 'guidance in rollouts alone', overrides: ['setup.guidanceInTraining=false'] },
  fast: { label: 'Flow-GRPO-Fast', overrides: ['sampling.window={ kind: random, size: 2 }'] },
  guard: algorithm('guard', 'GRPO-Guard'),
  flowDppo: algorithm('flow-dppo', 'Flow-DPPO'),
  nft: algorithm('nft', 'DiffusionNFT', 'training.stepsPerPass=1'),
  awm: algorithm('awm', 'AWM', 'training.stepsPerPass=1'),
  dgpo: algorithm('dgpo', 'DGPO', 'training.stepsPerPass=1'),
  crd: algorithm('crd', 'CRD', 'training.stepsPerPass=1'),
  dpo: algorithm('dpo', 'online DPO', 'training.stepsPerPass=1'),
  sft: algorithm('sft', 'SFT', 'training.stepsPerPass=1'),
  rwr: algorithm('rwr', 'RWR', 'training.stepsPerPass=1'),
};
