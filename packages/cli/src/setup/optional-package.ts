/** Packages that a run needs only with some options. */
import { ConfigError } from '@flow-grpo/grpo-trainer';

/** @throws {ConfigError} that says what needs the package and how to get it. */
export function optionalPackage(name: string, option: string): never {
  throw new ConfigError(`${option} needs the package ${name}: npm install ${name}`);
}
