/** Which part of a model trains: weights by name, or low-rank adapters on its linear layers. */
import { z } from 'zod';

const text = z.string().min(1);

const loraSchema = z.strictObject({
  rank: z.int().min(1).optional().describe('Rank of the adapters; 32 by default (LoraConfig r)'),
  alpha: z
    .number()
    .positive()
    .optional()
    .describe('Adapters are scaled by alpha / rank; twice the rank by default (LoraConfig lora_alpha)'),
  targets: z
    .array(text)
    .min(1)
    .optional()
    .describe(
      "Parts or globs of the linear layers' names that get one, without .weight (LoraConfig target_modules)",
    ),
  useRslora: z
    .boolean()
    .optional()
    .describe('Scale by alpha / √rank, for high ranks (LoraConfig use_rslora); false by default'),
  init: z
    .enum(['kaiming', 'gaussian', 'orthogonal'])
    .default('kaiming')
    .describe(
      'How adapters are initialised; none changes the model at the start (LoraConfig init_lora_weights)',
    ),
  start: text
    .optional()
    .describe(
      "Folder or hub id of adapters to go on with, in PEFT's layout; rank, alpha and targets are theirs (train.lora_path)",
    ),
});

/**
 * @param weights what a model trains without it, in words
 * @param layers which of its layers get adapters unless told otherwise
 */
export const trainSchema = (weights: string, layers: string) =>
  z
    .union([
      z.array(text).min(1),
      z.strictObject({
        lora: loraSchema.describe(
          `Low-rank adapters train in place of the weights of linear layers; by default ${layers} (use_lora)`,
        ),
      }),
    ])
    .describe(
      `Parts or globs of the names that train, ${weights} by default; or { lora: … } for adapters (upstream's filter, use_lora)`,
    );

export type LoraChoice = z.output<typeof loraSchema>;
export type TrainChoice = z.output<ReturnType<typeof trainSchema>>;

/** The adapters that a choice asks for; undefined where weights train themselves. */
export const loraOf = (train: TrainChoice | undefined): LoraChoice | undefined =>
  train === undefined || Array.isArray(train) ? undefined : train.lora;

/** The patterns of weights that train themselves, where there are any. */
export const weightsOf = (train: TrainChoice | undefined): string[] | undefined =>
  Array.isArray(train) ? train : undefined;
