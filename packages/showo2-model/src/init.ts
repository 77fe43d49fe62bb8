import { drawParams, type ParameterSpec, type ParameterStart, type Params } from '@flow-grpo/nn';
import { hasHeadProjection, type Showo2Config } from './config/config';
import { EMBEDDING, LM_HEAD } from './trunk/trunk';

const zero: ParameterStart = { constant: 0 };
const one: ParameterStart = { constant: 1 };

/** Every parameter of a model of this configuration: upstream's name, its shape, and how upstream starts it. */
export function showo2ParameterSpecs(config: Showo2Config): Record<string, ParameterSpec> {
  const specs: Record<string, ParameterSpec> = {};
  const put = (name: string, shape: number[], start: ParameterStart) => {
    specs[name] = { shape, start };
  };
  const torchLinear = (name: string, out: number, into: number, bias = true) => {
    const bound: ParameterStart = { uniform: 1 / Math.sqrt(into) };
    put(`${name}.weight`, [out, into], bound);
    if (bias) put(`${name}.bias`, [out], bound);
  };
  const linearFrom = (
    name: string,
    out: number,
    into: number,
    start: ParameterStart,
    bias?: ParameterStart,
  ) => {
    put(`${name}.weight`, [out, into], start);
    if (bias) put(`${name}.bias`, [out], bias);
  };
  const xavier = (out: number, into: number): ParameterStart => ({ uniform: Math.sqrt(6 / (out + into)) });
  const { trunk, vision, head } = config;

  const llm: ParameterStart = { normal: 0.02 };
  put(EMBEDDING, [config.vocabSize, trunk.hiddenSize], llm);
  for (let i = 0; i < trunk.layers; i++) {
    const p = `showo.model.layers.${i}.`;
    const q = trunk.heads * trunk.headDim;
    const kv = trunk.kvHeads * trunk.headDim;
    linearFrom(`${p}self_attn.q_proj`, q, trunk.hiddenSize, llm, zero);
    linearFrom(`${p}self_attn.k_proj`, kv, trunk.hiddenSize, llm, zero);
    linearFrom(`${p}self_attn.v_proj`, kv, trunk.hiddenSize, llm, zero);
    linearFrom(`${p}self_attn.o_proj`, trunk.hiddenSize, q, llm);
    linearFrom(`${p}mlp.gate_proj`, trunk.intermediateSize, trunk.hiddenSize, llm);
    linearFrom(`${p}mlp.up_proj`, trunk.intermediateSize, trunk.hiddenSize, llm);
    linearFrom(`${p}mlp.down_proj`, trunk.hiddenSize, trunk.intermediateSize, llm);
    put(`${p}input_layernorm.weight`, [trunk.hiddenSize], one);
    put(`${p}post_attention_layernorm.weight`, [trunk.hiddenSize], one);
  }
  put('showo.model.norm.weight', [trunk.hiddenSize], one);
  if (!trunk.tieWordEmbeddings) put(LM_HEAD, [config.vocabSize, trunk.hiddenSize], llm);

  const pixels = config.latentChannels * config.patchSize ** 2;
  for (const [name, width] of [
    ['und', vision.hiddenSize],
    ['gen', trunk.hiddenSize],
  ] as const) {
    const kernel = [width, config.latentChannels, config.patchSize, config.patchSize];
    put(`image_embedder_${name}.proj.weight`, kernel, xavier(width, pixels));
    put(`image_embedder_${name}.proj.bias`, [width], zero);
  }
  const d = vision.hiddenSize;
  put('position_embedding.weight', [config.positionGrid ** 2, d], { normal: 1 / Math.sqrt(d) });
  for (let i = 0; i < vision.layers; i++) {
    const p = `und_trans.layers.${i}.`;
    for (const part of ['q_proj', 'k_proj', 'v_proj', 'out_proj']) {
      linearFrom(`${p}self_attn.${part}`, d, d, xavier(d, d), zero);
    }
    linearFrom(`${p}mlp.fc1`, vision.intermediateSize, d, xavier(vision.intermediateSize, d), {
      normal: 1e-6,
    });
    linearFrom(`${p}mlp.fc2`, d, vision.intermediateSize, xavier(vision.intermediateSize, d), {
      normal: 1e-6,
    });
    for (const norm of ['layer_norm1', 'layer_norm2']) {
      put(`${p}${norm}.weight`, [d], one);
      put(`${p}${norm}.bias`, [d], zero);
    }
  }
  put('fusion_proj.0.weight', [d + trunk.hiddenSize], one);
  torchLinear('fusion_proj.1', trunk.hiddenSize, d + trunk.hiddenSize);
  torchLinear('fusion_proj.3', trunk.hiddenSize, trunk.hiddenSize);

  const w = head.hiddenSize;
  const bias: ParameterStart = { uniform: 1 / Math.sqrt(config.timeFeatures) };
  linearFrom('time_embed.mlp.0', w, config.timeFeatures, { normal: 0.02 }, bias);
  linearFrom('time_embed.mlp.2', w, w, { normal: 0.02 }, { uniform: 1 / Math.sqrt(w) });
  if (hasHeadProjection(config)) {
    torchLinear('diff_proj.0', w, trunk.hiddenSize);
    torchLinear('diff_proj.2', w, w);
    torchLinear('time_embed_proj', trunk.hiddenSize, w);
  }
  for (let i = 0; i < head.layers; i++) {
    const p = `diffusion_head_a.${i}.`;
    torchLinear(`${p}self_attn.q_proj`, head.heads * head.headDim, w, false);
    torchLinear(`${p}self_attn.k_proj`, head.kvHeads * head.headDim, w, false);
    torchLinear(`${p}self_attn.v_proj`, head.kvHeads * head.headDim, w, false);
    torchLinear(`${p}self_attn.o_proj`, w, head.heads * head.headDim, false);
    put(`${p}self_attn.q_norm.weight`, [head.headDim], one);
    put(`${p}self_attn.k_norm.weight`, [head.headDim], one);
    torchLinear(`${p}mlp.gate_proj`, head.intermediateSize, w, false);
    torchLinear(`${p}mlp.up_proj`, head.intermediateSize, w, false);
    torchLinear(`${p}mlp.down_proj`, w, head.intermediateSize, false);
    put(`${p}input_layernorm.weight`, [w], one);
    put(`${p}post_attention_layernorm.weight`, [w], one);
    linearFrom(`${p}adaLN_modulation.1`, 6 * w, w, zero, zero);
  }
  put('diffusion_head_b.norm_final.weight', [w], one);
  linearFrom('diffusion_head_b.linear', pixels, w, zero, zero);
  linearFrom('diffusion_head_b.adaLN_modulation.1', 2 * w, w, zero, zero);
  return specs;
}

/** A new model's parameters under upstream's names, started as upstream starts them. A function of the seed alone. */
export function initShowo2Params(config: Showo2Config, seed: number): Params {
  return drawParams(showo2ParameterSpecs(config), seed);
}
