/** What each kind of model reads, and which of its options change what is trained. */
import type { RequiredFiles } from '@flow-grpo/checkpoint-io';
import { showo2RequiredFiles } from '@flow-grpo/showo2-model/node';
import { zImageRequiredFiles } from '@flow-grpo/z-image-model/node';
import type { ModelSetupOptions } from '../run-file/setup-schema';
import { loraOf, type TrainChoice } from '../run-file/train-schema';
import { requiredEmbeddings } from './prompt-embeddings';

/** Whether a setup is that of a model from checkpoints. */
export const isModelSetup = <Other extends { readonly kind: string }>(
  choice: ModelSetupOptions | Other,
): choice is ModelSetupOptions => choice.kind === 'showo2' || choice.kind === 'z-image';

/** What a run reads of the model; the options that name the sources are those of the setup, without `setup.`. */
export async function modelRequiredFiles(
  options: ModelSetupOptions,
  { signal }: { readonly signal?: AbortSignal | undefined },
): Promise<RequiredFiles[]> {
  if (options.kind === 'z-image') {
    const { model, transformer, promptEmbeddings: embeddings } = options;
    const own = zImageRequiredFiles(model, { transformer, textEncoder: embeddings === undefined });
    return embeddings === undefined
      ? own
      : [...own, { ...requiredEmbeddings(embeddings), option: 'promptEmbeddings' }];
  }
  const { model, config, tokenizer, vae } = options;
  return showo2RequiredFiles(model, { config, tokenizer, vae }, signal ? { signal } : {});
}

/** Options that change what is trained, as text. Where parts come from is told by their files, which may move. */
export function modelFingerprint(options: ModelSetupOptions): Record<string, string> {
  const { dtype, train, guidanceScale, guidanceInTraining } = options;
  return {
    dtype,
    train: JSON.stringify(placeless(train) ?? 'default'),
    guidanceScale: `${guidanceScale}`,
    guidanceInTraining: `${guidanceInTraining}`,
    ...(options.kind === 'z-image' && {
      size: options.size.join(' x '),
      cfgNormalization: `${options.cfgNormalization}`,
      cfgTruncation: `${options.cfgTruncation}`,
    }),
  };
}

/** What trains, without the place of the adapters that it starts from: their files tell them. */
function placeless(train: TrainChoice | undefined): unknown {
  const lora = loraOf(train);
  if (lora?.start === undefined) return train;
  const { start: _, ...rest } = lora;
  return { lora: rest };
}
