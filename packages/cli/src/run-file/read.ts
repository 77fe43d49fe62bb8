/** Configuration files and command-line overrides. */
import { readFile } from 'node:fs/promises';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { parse } from 'yaml';
import { type RunFile, resolveRunFile } from './schema';

/**
 * Reads a YAML (or JSON) file and applies `key.path=value` overrides, whose values are YAML too, in their order.
 *
 * @throws {ConfigError} for a missing file, a value that is not YAML, and everything `resolveRunFile` refuses.
 */
export async function readRunFile(file: string | undefined, overrides: readonly string[]): Promise<RunFile> {
  const text = file
    ? await readFile(file, 'utf8').catch(() => {
        throw new ConfigError(`${file} cannot be read`);
      })
    : '';
  const root = (parseYaml(text, file ?? 'the configuration') ?? {}) as Record<string, unknown>;
  if (typeof root !== 'object' || Array.isArray(root))
    throw new ConfigError(`${file} must hold options by name`);
  for (const override of overrides) assign(root, override);
  return resolveRunFile(root);
}

function assign(root: Record<string, unknown>, override: string): void {
  const equals = override.indexOf('=');
  if (equals < 1) throw new ConfigError(`${override}: an override looks like training.learningRate=1e-4`);
  const keys = override.slice(0, equals).split('.');
  let node = root;
  for (const key of keys.slice(0, -1)) {
    node[key] ??= {};
    if (typeof node[key] !== 'object') throw new ConfigError(`${override}: ${key} is not a group of options`);
    node = node[key] as Record<string, unknown>;
  }
  node[keys.at(-1)!] = parseYaml(override.slice(equals + 1), override);
}

function parseYaml(text: string, where: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw new ConfigError(`${where}: ${(error as Error).message}`);
  }
}
