/** Everything a run can be told: the common options, the algorithm, and each algorithm's own options under its name. */
import { z } from 'zod';
import type { AnyAlgorithm } from '../algorithms/algorithm';
import { type AlgorithmName, algorithms } from '../algorithms/registry';
import { baseOptions } from './base';

type Sections = {
  [Name in AlgorithmName]: z.ZodPrefault<(typeof algorithms)[Name]['options']>;
};

const sectionOf = ({ options, summary }: AnyAlgorithm) => options.prefault({}).describe(summary);

const sections = Object.fromEntries(
  Object.entries(algorithms).map(([name, algorithm]) => [name, sectionOf(algorithm)]),
) as unknown as Sections;

const names = Object.keys(algorithms) as [AlgorithmName, ...AlgorithmName[]];

/** The schema of {@link GrpoConfig}; unknown keys are errors. */
export const grpoConfigSchema = z
  .strictObject({
    algorithm: z.enum(names).default('grpo').describe('The algorithm; its options go under its own name'),
    ...baseOptions,
    ...sections,
  })
  .describe('A Flow-GRPO run');

/** The same with an algorithm of your own in place of the choice. */
export function schemaWith(algorithm: AnyAlgorithm): typeof grpoConfigSchema {
  if ((algorithms as Readonly<Record<string, unknown>>)[algorithm.name] === algorithm)
    return grpoConfigSchema;
  return grpoConfigSchema.extend({
    algorithm: z.literal(algorithm.name).default(algorithm.name),
    [algorithm.name]: sectionOf(algorithm),
  }) as never;
}

/** A complete configuration: every field is there. `algorithm` names the algorithm, its options lie under that name. */
export type GrpoConfig = Omit<z.output<typeof grpoConfigSchema>, 'algorithm'> & {
  readonly algorithm: string;
};

/** What one writes: everything is optional. */
export type GrpoConfigInput = z.input<typeof grpoConfigSchema>;
