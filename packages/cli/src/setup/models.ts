/** What each kind of model reads, how large it is, and which of its options change what is trained. */
import type { RequiredFiles } from '@flow-grpo/checkpoint-io';
import { showo2RequiredFiles } from '@flow-grpo/showo2-model/node';
import { zImageRequiredFiles } from '@flow-grpo/z-image-model/node';
import type { ModelSizes } from '../run/memory-estimate';
import type { ModelSetupOptions, SetupChoice } from '../run-file/setup-schema';
import type { SetupContext } from './setup';
import { showo2Sizes } from './showo2-sizes';
import { zImageSizes } from './z-image-sizes';

/** Whether a setup is that of a model from checkpoints. */
export const isModelSetup = (choice: SetupChoice): choice is ModelSetupOptions =>
  choice.kind === 'showo2' || choice.kind === 'z-image';

/** What a run reads of the model; the options that name the sources are those of the setup, without `setup.`. */
export async function modelRequiredFiles(
  options: ModelSetupOptions,
  { signal }: SetupContext,
): Promise<RequiredFiles[]> {
  if (options.kind === 'z-image') return zImageRequiredFiles(options.model, options);
  const { model, config, tokenizer, vae } = options;
  return showo2RequiredFiles(model, { config, tokenizer, vae }, signal ? { signal } : {});
}

/** Sizes of the model that `options` name, from its configuration alone. */
export const modelSizes = (options: ModelSetupOptions, context: SetupContext): Promise<ModelSizes> =>
  options.kind === 'z-image' ? zImageSizes(options, context) : showo2Sizes(options, context);

/** Options that change what is trained, as text. Where parts come from is told by their files, which may move. */
export function modelFingerprint(options: ModelSetupOptions): Record<string, string> {
  const { dtype, train, guidanceScale, guidanceInTraining } = options;
  return {
    dtype,
    train: JSON.stringify(train ?? 'default'),
    guidanceScale: `${guidanceScale}`,
    guidanceInTraining: `${guidanceInTraining}`,
    ...(options.kind === 'z-image' && {
      size: options.size.join(' x '),
      cfgNormalization: `${options.cfgNormalization}`,
      cfgTruncation: `${options.cfgTruncation}`,
    }),
  };
}
