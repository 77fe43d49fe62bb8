/** One tower of CLIP; widths and depth are read from the weights. */
export interface ClipTowerConfig {
  heads: number;
  activation: 'quick_gelu' | 'gelu';
  /** Epsilon of its layer norms. */
  eps: number;
}

export interface ClipConfig {
  vision: ClipTowerConfig & { imageSize: number };
  text: ClipTowerConfig & { eosTokenId: number };
}

type Json = Record<string, unknown>;

/** Values of transformers' CLIPTextConfig and CLIPVisionConfig where a config.json leaves them out. */
const TEXT_DEFAULTS = {
  num_attention_heads: 8,
  hidden_act: 'quick_gelu',
  layer_norm_eps: 1e-5,
  eos_token_id: 49407,
};
const VISION_DEFAULTS = {
  num_attention_heads: 12,
  hidden_act: 'quick_gelu',
  layer_norm_eps: 1e-5,
  image_size: 224,
};

function section(config: Json, name: string, defaults: Json): Json {
  const given = (config[name] ?? {}) as Json;
  const legacy = config[`${name}_dict`] as Json | undefined | null;
  // As in transformers: the older section wins where there are both, and with it the defaults.
  return legacy ? { ...given, ...defaults, ...legacy } : { ...defaults, ...given };
}

function tower(values: Json, name: string): ClipTowerConfig {
  const heads = values.num_attention_heads;
  const activation = values.hidden_act;
  const eps = values.layer_norm_eps;
  if (typeof heads !== 'number' || typeof eps !== 'number') {
    throw new Error(`${name}: num_attention_heads and layer_norm_eps must be numbers.`);
  }
  if (activation !== 'quick_gelu' && activation !== 'gelu') {
    throw new Error(`${name}.hidden_act is '${activation}'; CLIP's are 'quick_gelu' and 'gelu'.`);
  }
  return { heads, activation, eps };
}

/** Reads the config.json of a transformers CLIPModel. Throws on values no CLIP has, naming the key. */
export function clipConfig(config: unknown): ClipConfig {
  const json = (config ?? {}) as Json;
  const text = section(json, 'text_config', TEXT_DEFAULTS);
  const vision = section(json, 'vision_config', VISION_DEFAULTS);
  return {
    vision: { ...tower(vision, 'vision_config'), imageSize: vision.image_size as number },
    text: { ...tower(text, 'text_config'), eosTokenId: text.eos_token_id as number },
  };
}
