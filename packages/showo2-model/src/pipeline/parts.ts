import type { Params } from '@flow-grpo/nn';
import type { Showo2Config } from '../config/config';
import type { TextTokenizer } from '../tokenizer/tokenizer';
import type { WanVaeConfig } from '../wan-vae';

/** What a model consists of. */
export interface Showo2Parts {
  config: Showo2Config;
  params: Params;
  tokenizer: TextTokenizer;
  vae: { config: WanVaeConfig; params: Params };
}
