/** flow-grpo embed */
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { plural } from '@flow-grpo/page-components/numbers';
import { progressLine } from '../logging/progress-line';
import { writeZImageEmbeddings } from '../setup/z-image';
import { readRun, type SharedOptions, useBackend } from './shared';

export interface EmbedOptions extends SharedOptions {
  readonly to?: string;
}

/** Writes the states of a run's prompts, which it then trains on without the text encoder. */
export async function embedCommand(path: string | undefined, options: EmbedOptions): Promise<void> {
  const line = progressLine();
  const { setup } = await readRun(path, options);
  if (setup.kind === 'showo2') {
    throw new ConfigError(
      'setup.kind: Show-o2 has no separate text encoder: the language model that reads a prompt also draws the images, and reads each prompt once per epoch',
    );
  }
  if (setup.kind !== 'z-image') throw new ConfigError(`setup.kind: ${setup.kind} has no text encoder`);
  const file = options.to ?? setup.promptEmbeddings;
  if (file === undefined)
    throw new ConfigError('embed: name the file to write: --to, or setup.promptEmbeddings');
  await useBackend(options.backend);
  try {
    const count = await writeZImageEmbeddings(file, setup, {
      onMessage: line.note,
      onProgress: (done, total) => line.show(`prompt ${done + 1}/${total}`, done / total),
    });
    line.note(`${plural(count, 'prompt')}: ${file}`);
  } finally {
    line.end();
  }
}
