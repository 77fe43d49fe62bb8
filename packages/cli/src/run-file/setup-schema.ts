/** The `setup` of a run file: what to train, on which prompts, for which reward. */
import { type RewardChoice, rewardChoiceSchema } from '@flow-grpo/rewards/registry';
import { z } from 'zod';
import { trainSchema } from './train-schema';

const text = z.string().min(1);
const place = (what: string) => text.describe(what);
/** Rewards by name; modules of your own are those keys of `given` that are paths. */
const rewardsOf = (given: unknown) =>
  rewardChoiceSchema(given).describe('Rewards and their weights (reward_fn)');

const evalRewardsOf = (given: unknown) =>
  rewardChoiceSchema(given)
    .optional()
    .describe(
      'Rewards that only evaluations measure, as a check on the one that trains; their weights are ignored',
    );

export const showo2SetupSchema = z.strictObject({
  kind: z.literal('showo2').describe('Show-o2 with its VAE from checkpoints'),
  model: place('Checkpoint of Show-o2: a folder or a hub id such as showlab/show-o2-1.5B (pretrained.model)'),
  config: place("Configuration: config.json or upstream's YAML; the checkpoint's own by default").optional(),
  tokenizer: place(
    "Folder or hub id of the tokenizer, e.g. Qwen/Qwen2.5-1.5B-Instruct; the checkpoint's folder by default",
  ).optional(),
  vae: place(
    "Wan 2.1's VAE: a file or folder, or a hub id with its Wan2.1_VAE.pth such as Wan-AI/Wan2.1-T2V-1.3B; vae/ or Wan2.1_VAE.pth in the checkpoint's folder by default",
  ).optional(),
  dtype: z
    .enum(['float32', 'bfloat16'])
    .default('bfloat16')
    .describe('How frozen weights are stored; trained weights have float32 masters (mixed_precision)'),
  train: trainSchema(
    'the diffusion head',
    'attention and feed-forward projections of the diffusion head',
  ).optional(),
  guidanceScale: z
    .number()
    .min(0)
    .default(0)
    .describe(
      'Classifier-free guidance v = u + scale·(c − u) of rollouts and evaluations; 0 is none (sample.guidance_scale)',
    ),
  guidanceInTraining: z
    .boolean()
    .default(true)
    .describe(
      'Whether updates guide too; with false they train the conditional velocity alone, and ratios are its own (train.cfg)',
    ),
  maxPromptTokens: z
    .int()
    .min(1)
    .optional()
    .describe(
      "Text tokens that longer prompts are cut to; the model's limit by default. All are padded to the longest one's length",
    ),
  dataset: place(
    "Prompts: a file, or a folder or data set of the hub in flow_grpo's layout, with train and test files (dataset)",
  ),
  evalDataset: place(
    "Prompts of evaluations; the dataset's test split by default, and none where there is none",
  ).optional(),
  evalPrompts: z
    .int()
    .min(1)
    .optional()
    .describe('How many evaluation prompts to take, from the first; all by default'),
  promptColumn: place("Column or key of the prompt in the dataset's rows; prompt by default").optional(),
  reward: rewardsOf(undefined),
  evalRewards: evalRewardsOf(undefined),
  rewardFailure: z
    .strictObject({
      retries: z.int().min(0).default(2).describe('Further attempts, with increasing delays'),
      action: z
        .enum(['stop', 'drop'])
        .default('stop')
        .describe(
          'What happens then: stop ends the run with a checkpoint, drop leaves out the prompts concerned',
        ),
    })
    .prefault({})
    .describe('What happens when a reward fails'),
});

const { shape: shared } = showo2SetupSchema;
/** What every model's setup has: prompts and rewards. */
const prompting = {
  dataset: shared.dataset,
  evalDataset: shared.evalDataset,
  evalPrompts: shared.evalPrompts,
  promptColumn: shared.promptColumn,
  reward: shared.reward,
  evalRewards: shared.evalRewards,
  rewardFailure: shared.rewardFailure,
};
const pixels = z.int().min(16).multipleOf(16);

export const zImageSetupSchema = z.strictObject({
  kind: z.literal('z-image').describe("Z-Image from a repository or folder in diffusers' layout"),
  model: place('Z-Image: a folder or a hub id such as Tongyi-MAI/Z-Image-Turbo'),
  transformer: place(
    "Other weights of the transformer: a file, a folder or a hub id; the model's own by default",
  ).optional(),
  size: z
    .tuple([pixels, pixels])
    .default([512, 512])
    .describe('Height and width of the images in pixels, multiples of 16'),
  dtype: z
    .enum(['float32', 'bfloat16'])
    .default('bfloat16')
    .describe('How frozen weights are stored; trained weights have float32 masters'),
  train: trainSchema('all of the transformer', 'the attention projections of every block').optional(),
  guidanceScale: z
    .number()
    .min(0)
    .default(0)
    .describe(
      "Guidance v = c + scale·(c − u) of rollouts and evaluations, as diffusers' pipeline counts it: one less than the usual scale; 0 is none, as for Turbo",
    ),
  cfgNormalization: z
    .number()
    .min(0)
    .default(0)
    .describe(
      'Keeps guided velocities from being longer than so many times the conditional ones; 0 is no limit (cfg_normalization)',
    ),
  cfgTruncation: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe('No guidance at times above this; 0 is noise, 1 is data (cfg_truncation)'),
  guidanceInTraining: shared.guidanceInTraining,
  maxPromptTokens: z
    .int()
    .min(1)
    .max(512)
    .default(512)
    .describe('Tokens that longer prompts are cut to, chat layout included (max_sequence_length)'),
  promptEmbeddings: place(
    'States of all prompts, a safetensors file that flow-grpo embed writes: the text encoder is then not loaded',
  ).optional(),
  ...prompting,
});

/** Options of a module of your own, handed to its default export. */
export const moduleSetupSchema = z.strictObject({
  kind: z.literal('module').describe('A module whose default export makes policy, prompts and scorer'),
  path: place('The module'),
  options: z
    .record(z.string(), z.unknown())
    .default({})
    .describe("Options that the module's function receives"),
});

const toySetupSchema = z.strictObject({
  kind: z.literal('toy').describe('Points in the plane; no model needed'),
});

/** A kind with its options; text stands for a kind without options (toy) or for a module's path. */
export const setupSchema = z.union([
  z.discriminatedUnion('kind', [showo2SetupSchema, zImageSetupSchema, moduleSetupSchema, toySetupSchema]),
  text,
]);

export type Showo2SetupInput = z.input<typeof showo2SetupSchema>;
export type Showo2SetupOptions = z.output<typeof showo2SetupSchema>;
export type ZImageSetupInput = z.input<typeof zImageSetupSchema>;
export type ZImageSetupOptions = z.output<typeof zImageSetupSchema>;
/** Setups of models from checkpoints. */
export type ModelSetupOptions = Showo2SetupOptions | ZImageSetupOptions;
export type { RewardChoice };
export type SetupChoice =
  | ModelSetupOptions
  | z.output<typeof moduleSetupSchema>
  | z.output<typeof toySetupSchema>;

const SETUPS = {
  showo2: showo2SetupSchema,
  'z-image': zImageSetupSchema,
  module: moduleSetupSchema,
  toy: toySetupSchema,
} as const;

/** Evaluations measure the rewards that train anyway, under the same names. */
function noRewardTwice({ reward, evalRewards = {} }: ModelSetupOptions, context: z.RefinementCtx): void {
  for (const name of Object.keys(evalRewards)) {
    if (!Object.hasOwn(reward, name)) continue;
    const message = `trains as setup.reward.${name}, which evaluations report too: leave it out here`;
    context.addIssue({ code: 'custom', path: ['evalRewards', name], message });
  }
}

/** The schema of the kind that `given` asks for, so that errors are about that kind alone. */
export function setupSchemaOf(given: unknown): z.ZodType<SetupChoice> {
  const { kind, reward, evalRewards } = (given ?? {}) as Readonly<Record<string, unknown>>;
  const rewards = { reward: rewardsOf(reward), evalRewards: evalRewardsOf(evalRewards) };
  if (kind === 'showo2') return showo2SetupSchema.extend(rewards).superRefine(noRewardTwice);
  if (kind === 'z-image') return zImageSetupSchema.extend(rewards).superRefine(noRewardTwice);
  return Object.hasOwn(SETUPS, String(kind))
    ? SETUPS[kind as keyof typeof SETUPS]
    : (z.strictObject({ kind: z.enum(Object.keys(SETUPS) as (keyof typeof SETUPS)[]) }).loose() as never);
}

/** Text as a kind with options: `toy`, or the path of a module. */
export function expandSetup(given: unknown): unknown {
  if (typeof given !== 'string') return given;
  return isModulePath(given) ? { kind: 'module', path: given } : { kind: given };
}

/** Whether a setup given as text is a module: it is no kind, and looks like a path. */
export const isModulePath = (given: string): boolean => !Object.hasOwn(SETUPS, given) && /[\\/.]/.test(given);
