/** Configuration files and command-line overrides. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { isRewardModule } from '@flow-grpo/rewards/registry';
import { parse } from 'yaml';
import { type RunFile, resolveRunFile } from './schema';

/**
 * Reads a YAML (or JSON) file, to which paths of rewards are relative, and applies `key.path=value` overrides, whose values are YAML too, in their order.
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
  if (file !== undefined) resolveModules(root, dirname(file));
  for (const override of overrides) assign(root, override);
  return resolveRunFile(root);
}

/** Modules with rewards are relative to the file that names them; those of overrides to the current folder. */
function resolveModules(root: Record<string, unknown>, folder: string): void {
  const { setup } = root;
  if (setup === null || typeof setup !== 'object') return;
  for (const option of ['reward', 'evalRewards']) {
    const rewards = (setup as Record<string, unknown>)[option];
    if (rewards === null || typeof rewards !== 'object') continue;
    const entries = Object.entries(rewards).map(([key, value]) => [
      isRewardModule(key) ? resolve(folder, key) : key,
      value,
    ]);
    Object.assign(setup, { [option]: Object.fromEntries(entries) });
  }
}

function assign(root: Record<string, unknown>, override: string): void {
  const equals = override.indexOf('=');
  if (equals < 1) throw new ConfigError(`${override}: an override looks like training.learningRate=1e-4`);
  const keys = override.slice(0, equals).split('.');
  const inherited = keys.find((key) => key in Object.prototype);
  if (inherited !== undefined) throw new ConfigError(`${override}: ${inherited} is no name of an option`);
  let node = root;
  for (const key of keys.slice(0, -1)) {
    node[key] ??= {};
    if (typeof node[key] !== 'object' || node[key] === null)
      throw new ConfigError(`${override}: ${key} is not a group of options`);
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
