/** From what was written to a complete configuration, or an error that says what to change. */
import { windowProblems, windowRange } from '@flow-grpo/sde-sampler';
import { z } from 'zod';
import type { AnyAlgorithm, ConfiguredAlgorithm } from '../algorithms/algorithm';
import { algorithms } from '../algorithms/registry';
import { ConfigError } from './config-error';
import { epochProblems } from './epoch-arithmetic';
import { type GrpoConfig, type GrpoConfigInput, grpoConfigSchema, schemaWith } from './schema';
import { unknownOption } from './suggest';

export { ConfigError };

/** Types a configuration without changing it. */
export function defineConfig(config: GrpoConfigInput): GrpoConfigInput {
  return config;
}

/**
 * Fills in defaults and checks that the options fit together.
 *
 * @param algorithm one of your own; by default `algorithm` in the configuration names it
 * @throws {ConfigError} for unknown keys (with the closest known one), wrong types, and contradictions.
 */
export function resolveConfig(input: unknown, algorithm?: AnyAlgorithm): GrpoConfig {
  const config: GrpoConfig = parseConfig(algorithm ? schemaWith(algorithm) : grpoConfigSchema, input);
  const problems = configProblems(config, algorithm);
  if (problems.length > 0) throw new ConfigError(problems.join('\n'));
  return config;
}

/** JSON Schema of the configuration, for editors. */
export function configJsonSchema(): object {
  return z.toJSONSchema(grpoConfigSchema, { io: 'input' });
}

/**
 * What a schema makes of `input`.
 *
 * @throws {ConfigError} with one line per issue.
 */
export function parseConfig<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw new ConfigError(parsed.error.issues.flatMap((issue) => issueLines(issue, schema, input)).join('\n'));
}

/** The registered algorithm that a configuration names. */
export function algorithmOf(config: GrpoConfig): AnyAlgorithm {
  const found = (algorithms as Readonly<Record<string, AnyAlgorithm>>)[config.algorithm];
  if (found) return found;
  throw new ConfigError(
    `algorithm ${config.algorithm} is not one of ${Object.keys(algorithms).join(', ')}; an algorithm of your own goes into train({ algorithm })`,
  );
}

/** What a configuration's algorithm does with its options. */
export function configureAlgorithm(
  config: GrpoConfig,
  algorithm: AnyAlgorithm = algorithmOf(config),
): ConfiguredAlgorithm {
  return algorithm.configure(optionsOf(config, algorithm), {
    config,
    windowSize: windowRange(config.sampling.window, config.sampling.numSteps).size,
    epochSize: config.sampling.promptsPerEpoch * config.sampling.samplesPerPrompt,
  });
}

/** Images of an epoch: all of them are planned one by one before anything runs. */
const MAX_IMAGES = 2 ** 20;

/** What in a configuration contradicts itself, one line each. */
export function configProblems(config: GrpoConfig, algorithm: AnyAlgorithm = algorithmOf(config)): string[] {
  const { sampling, training } = config;
  const { rollout, pointsPerImage } = configureAlgorithm(config, algorithm);
  const epochSize = sampling.promptsPerEpoch * sampling.samplesPerPrompt;
  if (epochSize > MAX_IMAGES) {
    return [`an epoch has ${epochSize} images (promptsPerEpoch · samplesPerPrompt), more than ${MAX_IMAGES}`];
  }
  const { stepsPerPass = 1 } = training;
  const problems = [
    ...(rollout.sampler === 'sde' ? samplingProblems(sampling) : []),
    ...(algorithm.check?.(optionsOf(config, algorithm), config) ?? []),
    ...epochProblems(config),
  ];
  const check = (ok: boolean, problem: string) => {
    if (!ok) problems.push(problem);
  };
  const { devices, shardDevices } = config;
  const split = (['shardParameters', 'shardFrozen'] as const).filter((name) => config[name]);
  check(
    split.length === 0 || devices > 1,
    `${split[0]} splits weights over devices, and devices is 1; raise it, or leave ${split.join(' and ')} out`,
  );
  if (shardDevices !== undefined) {
    check(
      split.length > 0,
      'shardDevices says over how many devices weights are split, and none are; set shardParameters or shardFrozen too, or leave it out',
    );
    check(
      shardDevices > 1 && devices % shardDevices === 0,
      `shardDevices (${shardDevices}) must be above 1 and divide devices (${devices})`,
    );
  }
  check(
    training.updatesPerEpoch <= epochSize,
    `training.updatesPerEpoch (${training.updatesPerEpoch}) is larger than the ${epochSize} images of an epoch`,
  );
  check(
    pointsPerImage % stepsPerPass === 0,
    `training.stepsPerPass (${stepsPerPass}) must divide the ${pointsPerImage} steps that train`,
  );
  return problems;
}

/** The sampler's own words, with the options' places here. */
function samplingProblems({ window, numSteps, rule, noiseLevel }: GrpoConfig['sampling']): string[] {
  return windowProblems(window, { steps: numSteps, rule, noiseLevel }).map(
    (problem) => `sampling.${problem}`,
  );
}

const optionsOf = (config: GrpoConfig, { name }: AnyAlgorithm) =>
  (config as unknown as Readonly<Record<string, Record<string, unknown>>>)[name] ?? {};

function issueLines(issue: z.core.$ZodIssue, schema: z.ZodType, input: unknown): string[] {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.flatMap((key) => unknownOption(schema, [...path, key], input));
  }
  if (issue.code === 'invalid_union') {
    // The branch that the value was meant for is the one that takes its type.
    const meant = issue.errors.find((branch) =>
      branch.every(({ code, path: inside }) => code !== 'invalid_type' || inside.length > 0),
    );
    if (meant) {
      return meant.flatMap((inner) =>
        issueLines({ ...inner, path: [...issue.path, ...inner.path] }, schema, input),
      );
    }
  }
  return [`${path.join('.') || 'config'}: ${issue.message}`];
}
