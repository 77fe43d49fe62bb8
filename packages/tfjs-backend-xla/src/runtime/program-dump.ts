/** The text of programs on disk, for whoever wants to read or compare them. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import { currentSettings } from './settings';

/**
 * Writes `text` to `<name>.<digest>.mlir` in the folder of `dumpPrograms`, if one was chosen: equal programs are one file,
 * so several processes may share the folder.
 */
export function dumpProgram(name: string, text: string): void {
  const folder = currentSettings().dumpPrograms ?? process.env.FLOW_GRPO_XLA_DUMP;
  if (!folder) return;
  makeFolder(folder);
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 16);
  writeFileSync(join(folder, `${name}.${digest}.mlir`), text);
}
