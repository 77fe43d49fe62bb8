/** A run's file: the options of training, and what the command needs besides. */

import { ConfigError, type GrpoConfig } from '@flow-grpo/grpo-trainer';
import { configProblems, grpoConfigSchema, parseConfig } from '@flow-grpo/grpo-trainer/config';
import { z } from 'zod';
import type { OptionOrigins } from './origins';
import { expandSetup, type SetupChoice, setupSchema, setupSchemaOf } from './setup-schema';

const wandb = z
  .strictObject({
    project: z.string().min(1).default('flow-grpo').describe('Project (wandb.init project)'),
    entity: z.string().min(1).optional().describe('User or team; by default the one that the key belongs to'),
    name: z.string().min(1).optional().describe('Display name of the run (run_name)'),
    group: z.string().min(1).optional().describe('Group of runs'),
    tags: z.array(z.string().min(1)).default([]).describe('Tags of the run'),
    baseUrl: z
      .url()
      .optional()
      .describe('Address of the server; WANDB_BASE_URL, else https://api.wandb.ai by default'),
  })
  .describe('Log to Weights & Biases; the key comes from WANDB_API_KEY or ~/.netrc');

export type WandbInput = z.input<typeof wandb>;

/** Fills in defaults. Throws a ConfigError for what does not fit. */
export const resolveWandb = (input: WandbInput) =>
  parseConfig(z.strictObject({ wandb }), { wandb: input }).wandb;

const extras = {
  output: z.string().min(1).default('runs/default').describe("The run's folder (save_dir, logdir)"),
  wandb: wandb.optional(),
  peakTflops: z
    .number()
    .positive()
    .optional()
    .describe("One device's peak TFLOP/s, for utilisation (MFU); known for NVIDIA's data-centre GPUs"),
};

/** Everything a file may hold, for editors. */
export const runFileSchema = grpoConfigSchema.extend({
  $schema: z.string().optional().describe("Path or address of this file's schema, for editors"),
  setup: setupSchema.optional().describe('Model, prompts and reward; the toy by default'),
  ...extras,
});

/** A complete run file. */
export interface RunFile {
  readonly config: GrpoConfig;
  readonly setup: SetupChoice;
  readonly output: string;
  readonly wandb?: z.output<typeof wandb> | undefined;
  readonly peakTflops?: number | undefined;
  /** Where its options were given, for messages. */
  readonly origins?: OptionOrigins;
}

/**
 * Fills in defaults and checks everything.
 *
 * @throws {ConfigError} for unknown keys (with the closest known one, or ours for flow_grpo's), wrong types, and
 *   options that contradict each other; every line of the message names an option.
 */
export function resolveRunFile(input: Readonly<Record<string, unknown>>): RunFile {
  const setup = expandSetup(input.setup ?? 'toy');
  const schema = grpoConfigSchema.extend({
    $schema: z.string().optional(),
    setup: setupSchemaOf(setup),
    ...extras,
  });
  const parsed = parseConfig(schema, withDefaultsOf(setup, { ...input, setup }));
  const { setup: chosen, output, wandb: sink, peakTflops, $schema: _, ...config } = parsed;
  const problems = configProblems(config);
  if (problems.length > 0) throw new ConfigError(problems.join('\n'));
  return { config, setup: chosen, output, wandb: sink, peakTflops };
}

/** What the toy starts from: two numbers per prompt, which want larger steps than the weights of a model. */
const TOY_TRAINING = { learningRate: 0.02 };

function withDefaultsOf(setup: unknown, input: Record<string, unknown>): Record<string, unknown> {
  const { training = {} } = input;
  const isToy = (setup as { kind?: unknown } | null)?.kind === 'toy';
  if (!isToy || training === null || typeof training !== 'object') return input;
  return { ...input, training: { ...TOY_TRAINING, ...training } };
}

/** JSON Schema of run files. */
export function runFileJsonSchema(): object {
  return z.toJSONSchema(runFileSchema, { io: 'input' });
}
