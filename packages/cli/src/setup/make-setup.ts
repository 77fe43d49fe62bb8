/** Makes the setup that a run file names: a built-in one, or your own module. */
import { resolve } from 'node:path';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { isAbort } from '@flow-grpo/grpo-trainer/node';
import type { SetupChoice } from '../run-file/setup-schema';
import { checkSetup, thrownText } from './check-setup';
import { importModule, moduleProblem, placeIn } from './import-module';
import type { RunSetup, SetupContext, SetupFunction } from './setup';
import { showo2Setup } from './showo2';
import { toySetup } from './toy';
import { zImageSetup } from './z-image';

/**
 * Makes the chosen setup.
 *
 * @throws {ConfigError} when something it names does not exist or does not fit.
 */
export async function makeSetup(choice: SetupChoice, context: SetupContext = {}): Promise<RunSetup> {
  if (choice.kind === 'toy') return toySetup();
  if (choice.kind === 'showo2') return showo2Setup(choice, context);
  if (choice.kind === 'z-image') return zImageSetup(choice, context);
  const file = resolve(choice.path);
  const make = await loadModule(file);
  try {
    return checkSetup(await make(choice.options, context), file);
  } catch (error) {
    if (error instanceof ConfigError || isAbort(error, context.signal)) throw error;
    throw new Error(`${file}${placeIn(error, file)}: ${thrownText(error)}`, { cause: error });
  }
}

/** A module's default export. */
async function loadModule(file: string): Promise<SetupFunction> {
  const problem = await moduleProblem(file);
  if (problem !== undefined) throw new ConfigError(`setup.path: ${problem}`);
  const module = (await importModule(file).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : thrownText(error);
    throw new ConfigError(`setup.path: ${file} cannot be loaded: ${reason}${placeIn(error, file)}`, {
      cause: error,
    });
  })) as { default?: unknown };
  if (typeof module.default === 'function') return module.default as SetupFunction;
  const names = Object.keys(module);
  const exports = names.length > 0 ? `it exports ${names.join(', ')}` : 'it exports nothing';
  throw new ConfigError(
    `setup.path: ${file} must export a function by default (see defineSetup); ${exports}`,
  );
}
