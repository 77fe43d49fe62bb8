/** Configuration files and command-line overrides. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { isRewardModule } from '@flow-grpo/rewards/registry';
import { LineCounter, parse, parseDocument } from 'yaml';
import { addOverride, explained, type OptionOrigins, originsOfDocument } from './origins';
import { type RunFile, resolveRunFile } from './schema';
import { isModulePath } from './setup-schema';

/**
 * Reads a YAML (or JSON) file, to which the paths of modules are relative, and applies `key.path=value` overrides, whose
 * values are YAML too, in their order.
 *
 * @throws {ConfigError} for a file that is missing or empty, a value that is not YAML, and everything `resolveRunFile`
 *   refuses; each line names the file's line, or the command line, where the option was given.
 */
export async function readRunFile(file: string | undefined, overrides: readonly string[]): Promise<RunFile> {
  const { root, origins } = file === undefined ? { root: {}, origins: new Map() } : await readOptions(file);
  if (file !== undefined) resolveModules(root, dirname(file), origins);
  for (const override of overrides) applyOverride(root, override, origins);
  const run = await explained(origins, async () => resolveRunFile(root));
  return { ...run, origins };
}

async function readOptions(file: string): Promise<{ root: Record<string, unknown>; origins: OptionOrigins }> {
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError(`${file} cannot be read: ${whyUnreadable(error)}`, { cause: error });
  });
  const lineCounter = new LineCounter();
  const document = parsed(file, () =>
    parseDocument(decoded(file, bytes), { lineCounter, prettyErrors: true, merge: true }),
  );
  // A tag that is not known would leave another value than the one that was meant.
  const [problem] = [...document.errors, ...document.warnings];
  if (problem) {
    const line = problem.linePos?.[0].line;
    const message = /call stack/.test(problem.message) ? TOO_DEEP : problem.message;
    throw new ConfigError(`${line === undefined ? file : `${file}:${line}`}: ${message}`);
  }
  const root: unknown = parsed(file, () => document.toJS()); // aliases of nothing, or without end
  if (root === null || root === undefined) {
    throw new ConfigError(`${file} is empty; flow-grpo init writes a run file to start from`);
  }
  if (typeof root !== 'object' || Array.isArray(root)) {
    const given = Array.isArray(root) ? 'a list' : JSON.stringify(root);
    throw new ConfigError(`${file}:1: a run file holds options by name, such as epochs: 100, not ${given}`);
  }
  return {
    root: root as Record<string, unknown>,
    origins: parsed(file, () => originsOfDocument(document.contents, file, lineCounter)),
  };
}

/** The parser, and what walks its result, call themselves for every level. */
const TOO_DEEP = 'it is nested too deeply';

/** Text of UTF-8, or of UTF-16 with a byte order mark. */
function decoded(file: string, bytes: Uint8Array): string {
  const [first, second] = bytes;
  const isUtf16 = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  const encoding = isUtf16 ? (first === 0xff ? 'utf-16le' : 'utf-16be') : 'utf-8';
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch (error) {
    throw new ConfigError(`${file} is not UTF-8 text: save it as UTF-8`, { cause: error });
  }
}

function parsed<T>(where: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const why = error instanceof RangeError ? TOO_DEEP : (error as Error).message;
    throw new ConfigError(`${where}: ${why}`, { cause: error });
  }
}

function whyUnreadable({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return 'there is no such file; flow-grpo init writes a run file to start from';
  if (code === 'EISDIR') return "it is a folder; give the run's YAML file";
  return code === 'EACCES' ? 'permission denied' : message;
}

/** Modules are relative to the file that names them; those of overrides to the current folder. */
function resolveModules(root: Record<string, unknown>, folder: string, origins: OptionOrigins): void {
  const { setup } = root;
  if (typeof setup === 'string') root.setup = isModulePath(setup) ? resolve(folder, setup) : setup;
  if (setup === null || typeof setup !== 'object') return;
  const { kind, path } = setup as { kind?: unknown; path?: unknown };
  if (kind === 'module' && typeof path === 'string') Object.assign(setup, { path: resolve(folder, path) });
  for (const option of ['reward', 'evalRewards']) {
    const rewards = (setup as Record<string, unknown>)[option];
    if (rewards === null || typeof rewards !== 'object') continue;
    const entries = Object.entries(rewards).map(([key, value]) => {
      if (!isRewardModule(key)) return [key, value];
      const module = resolve(folder, key);
      const origin = origins.get(`setup.${option}.${key}`);
      if (origin) origins.set(`setup.${option}.${module}`, origin);
      return [module, value];
    });
    Object.assign(setup, { [option]: Object.fromEntries(entries) });
  }
}

/**
 * Sets an option in nested records, in place: `training.learningRate=1e-4`, whose value is YAML.
 *
 * @param origins gets where the value comes from
 * @throws {ConfigError} for what does not look like that, and for a name that leads through something else than options.
 */
export function applyOverride(
  root: Record<string, unknown>,
  override: string,
  origins: OptionOrigins = new Map(),
): void {
  const equals = override.indexOf('=');
  if (equals < 1) throw new ConfigError(`${override}: an override looks like training.learningRate=1e-4`);
  const keys = override.slice(0, equals).split('.');
  const inherited = keys.find((key) => key in Object.prototype);
  if (inherited !== undefined)
    throw new ConfigError(`${override}: ${inherited} is not the name of an option`);
  let node = root;
  for (const key of keys.slice(0, -1)) {
    node[key] ??= {};
    if (typeof node[key] !== 'object' || node[key] === null)
      throw new ConfigError(`${override}: ${key} is not a group of options`);
    node = node[key] as Record<string, unknown>;
  }
  const value: unknown = parsed(override, () =>
    parse(override.slice(equals + 1), { logLevel: 'error', merge: true }),
  );
  node[keys.at(-1)!] = value;
  addOverride(origins, keys.join('.'), value);
}
