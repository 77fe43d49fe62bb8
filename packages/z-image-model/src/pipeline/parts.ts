import type { BytePairTokenizer } from '@flow-grpo/checkpoint-io/tokenizer';
import type { Params } from '@flow-grpo/nn';
import type { AutoencoderConfig } from '../autoencoder';
import type { TextEncoderConfig } from '../text-encoder';
import type { TransformerConfig } from '../transformer';
import type { SchedulerConfig } from './scheduler';

/** Sizes and weights, under diffusers' and transformers' names; repeated blocks may be stacked. */
export interface Part<Config> {
  readonly config: Config;
  readonly params: Params;
}

/** What turns prompts into states. */
export interface TextEncoderPart extends Part<TextEncoderConfig> {
  readonly tokenizer: Pick<BytePairTokenizer, 'encode'>;
}

/** What a model consists of. */
export interface ZImageParts {
  readonly transformer: Part<TransformerConfig>;
  /** Absent where prompts come as states. */
  readonly textEncoder?: TextEncoderPart | undefined;
  readonly vae: Part<AutoencoderConfig>;
  readonly scheduler: SchedulerConfig;
}
