/** Every option of a run file as a flag of the command, documented by its schema. */

import { grpoConfigSchema, type SchemaLeaf, schemaLeaves } from '@flow-grpo/grpo-trainer/config';
import { type Command, Option } from 'commander';

const leaves: readonly SchemaLeaf[] = schemaLeaves(grpoConfigSchema);

/** Adds `--devices 4`, `--training.learningRate 1e-4`, … */
export function addConfigFlags(command: Command): Command {
  command.optionsGroup("Options of the run file, with flow_grpo's names in brackets:");
  for (const { path, description, default: value, values } of leaves) {
    const shown = value === undefined ? '' : ` [${JSON.stringify(value)}]`;
    command.addOption(new Option(`--${path} <${values}>`, `${description}${shown}`));
  }
  return command;
}

/** The given flags as `key.path=value` overrides, in the schema's order. */
export function flagOverrides(options: Readonly<Record<string, unknown>>): string[] {
  return leaves.flatMap(({ path }) => (options[path] === undefined ? [] : [`${path}=${options[path]}`]));
}
