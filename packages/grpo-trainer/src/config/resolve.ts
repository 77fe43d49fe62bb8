/** From what was written to a complete configuration, or an error that says what to change. */
import { z } from 'zod';
import { epochProblems } from './epoch-arithmetic';
import { type GrpoConfig, type GrpoConfigInput, grpoConfigSchema } from './schema';
import { unknownOption } from './suggest';

/** A configuration that cannot run. Every line of the message names an option. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Types a configuration without changing it. */
export function defineConfig(config: GrpoConfigInput): GrpoConfigInput {
  return config;
}

/**
 * Fills in defaults and checks that the options fit together.
 *
 * @throws {ConfigError} for unknown keys (with the closest known one), wrong types, and contradictions.
 */
export function resolveConfig(input: unknown): GrpoConfig {
  const config = parseConfig(grpoConfigSchema, input);
  const problems = contradictions(config);
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
 * @throws {ConfigError} with one line an issue.
 */
export function parseConfig<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw new ConfigError(parsed.error.issues.flatMap((issue) => issueLines(issue, schema, input)).join('\n'));
}

/** Steps a rollout makes stochastic, at most. */
export function windowBounds(config: GrpoConfig): { start: number; end: number; size: number } {
  const { numSteps, window } = config.sampling;
  const end = window.end ?? Math.max(window.start + 1, numSteps - 1);
  return {
    start: window.start,
    end,
    size: window.kind === 'fixed' ? end - window.start : (window.size ?? 0),
  };
}

/** How many of the window's steps train. */
export function trainedSteps(config: GrpoConfig): number {
  return Math.max(1, Math.floor(windowBounds(config).size * config.training.timestepFraction));
}

/** What in a configuration contradicts itself, a line each. */
export function contradictions(config: GrpoConfig): string[] {
  const { sampling, training } = config;
  const { window } = sampling;
  const { start, end, size } = windowBounds(config);
  const epochSize = sampling.promptsPerEpoch * sampling.samplesPerPrompt;
  const needsRatio = training.objective === 'grpo' || training.objective === 'guard';
  const problems: string[] = [];
  const check = (ok: boolean, problem: string) => {
    if (!ok) problems.push(problem);
  };
  check(
    end <= sampling.numSteps && start < end,
    `sampling.window: steps ${start} … ${end - 1} do not lie in 0 … ${sampling.numSteps - 1} (sampling.numSteps)`,
  );
  check(
    !(sampling.rule === 'sde' && sampling.noiseLevel > 0 && start === 0),
    'sampling.window.start is 0, where the noise of an SDE step is infinite; use 1, or rule cps',
  );
  check(
    window.kind === 'fixed' || window.size !== undefined,
    `sampling.window.size is needed with kind ${window.kind}`,
  );
  check(
    window.kind === 'fixed' || size <= end - start,
    `sampling.window.size (${size}) is larger than the range ${start} … ${end - 1}`,
  );
  check(
    window.kind !== 'fixed' || window.size === undefined || window.size === end - start,
    'sampling.window.size says something else than start and end; leave it out with kind fixed',
  );
  check(
    !(sampling.rule === 'cps' && end === sampling.numSteps),
    'sampling.window.end: the last CPS step has no noise; leave it out of the window',
  );
  check(
    !(needsRatio && sampling.noiseLevel === 0),
    `sampling.noiseLevel is 0: without noise there is no log-probability for ${training.objective}; use 0.7`,
  );
  check(
    !(training.objective === 'guard' && sampling.rule === 'cps'),
    "training.objective guard normalises by the SDE's noise; it needs sampling.rule sde",
  );
  check(
    !(sampling.rule === 'cps' && sampling.noiseLevel > 1),
    'sampling.noiseLevel must be at most 1 with rule cps',
  );
  check(
    sampling.samplesPerPrompt >= 2 || training.objective === 'rwr',
    'sampling.samplesPerPrompt must be at least 2: an advantage compares images of one prompt',
  );
  problems.push(...epochProblems(config));
  check(
    !config.shardParameters || config.devices > 1,
    'shardParameters splits weights over devices, and devices is 1; raise it, or leave shardParameters out',
  );
  check(
    training.updatesPerEpoch <= epochSize,
    `training.updatesPerEpoch (${training.updatesPerEpoch}) is larger than the ${epochSize} images of an epoch`,
  );
  check(
    trainedSteps(config) % (training.stepsPerPass ?? 1) === 0,
    `training.stepsPerPass (${training.stepsPerPass}) must divide the ${trainedSteps(config)} steps that train`,
  );
  check(
    training.objective !== 'dpo' || training.beta > 0,
    'training.beta must be positive with objective dpo, where it is the strength of the preference; e.g. 100',
  );
  return problems;
}

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
