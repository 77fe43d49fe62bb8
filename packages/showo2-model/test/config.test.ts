import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { QWEN2_5_TOKENS, QWEN2_5_VOCABULARY } from '../src/config/schema';
import { parseShowo2Yaml } from '../src/config/yaml';
import { parseShowo2Config, showo2ConfigJson } from '../src/index';

interface Demo {
  name: string;
  language: string;
  hidden: number;
  grid: number;
  length: number;
  points: number;
}

/** The fields and layout of upstream's configs/showo2_*_demo_*.yaml. */
const yaml = ({ name, language, hidden, grid, length, points }: Demo) => `
wandb:
  entity: null
#  run_id: none
  resume: 'auto'

experiment:
    project: "demo"
    output_dir: "out" # a comment

model:
    weight_type: "bfloat16"
    vae_model:
        type: "wan21"
        pretrained_model_path: "Wan2.1_VAE.pth"

    showo:
        model_name: "Showo2"
        load_from_showo: True
        pretrained_model_path: "showlab/${name}"
        llm_model_path: "Qwen/${language}"
        llm_vocab_size: null # known when the tokenizer is
        hidden_size: ${hidden}
        image_latent_dim: 16
        image_latent_height: ${grid}
        image_latent_width: ${grid}
        video_latent_height: 27
        video_latent_width: \${model.showo.video_latent_height}
        patch_size: 2
        add_time_embeds: True
        num_und_trans_layers: 8
        num_refiner_layers: 10
        clip_latent_dim: 1152
        add_qk_norm: True
        clip_pretrained_model_path: "google/siglip-so400m-patch14-384"

dataset:
    preprocessing:
        max_seq_length: ${length}
        resolution: ${16 * grid}
        num_t2i_image_tokens: ${grid ** 2}
        num_mmu_image_tokens: 729
        latent_height: \${model.showo.image_latent_height}
        latent_width: \${model.showo.image_latent_width}

transport:
    path_type: "Linear"
    loss_weight: null
    sampling_method: "euler"
    guidance_scale: 5.0
    num_inference_steps: ${points}
    atol: 1e-6
    reverse: False
    do_shift: True
    time_shifting_factor: 3.0
`;

const small = { hidden: 1536, language: 'Qwen2.5-1.5B-Instruct' };
const demos: (Demo & { text: number })[] = [
  { ...small, name: 'show-o2-1.5B', grid: 27, length: 1024, points: 50, text: 290 },
  { ...small, name: 'show-o2-1.5B-HQ', grid: 32, length: 1280, points: 20, text: 251 },
  { ...small, name: 'show-o2-1.5B-HQ', grid: 64, length: 4352, points: 20, text: 251 },
  {
    ...{ name: 'show-o2-7B', language: 'Qwen2.5-7B-Instruct', hidden: 3584 },
    ...{ grid: 27, length: 1024, points: 50, text: 290 },
  },
];

describe('configurations', () => {
  it.each(fixtureCases('showo2-tiny'))('of $name survive config.json', ({ dir }) => {
    const config = parseShowo2Config(readJson<{ config: unknown }>(dir, 'case.json').config);
    expect(parseShowo2Config(JSON.parse(JSON.stringify(showo2ConfigJson(config))))).toEqual(config);
  });

  it.each(demos)('of $name at a grid of $grid get the published sizes', (demo) => {
    const { model, sampling } = parseShowo2Yaml(yaml(demo), 'demo.yaml');
    const { hidden, grid, points, text } = demo;
    expect(sampling).toEqual({ guidanceScale: 5, gridPoints: points, shift: 3, resolution: 16 * grid });
    expect(model).toMatchObject({
      ...{ gridHeight: grid, gridWidth: grid, positionGrid: 27, patchSize: 2, latentChannels: 16 },
      ...{ vocabSize: QWEN2_5_VOCABULARY, tokens: QWEN2_5_TOKENS, maxTextLength: text },
      head: {
        ...{ hiddenSize: 2048, layers: 10, heads: 32, kvHeads: 8, headDim: 64, intermediateSize: 8192 },
        ...{ ropeTheta: 5e5, rmsNormEps: 1e-5, qkNormEps: 1e-6, finalNormEps: 1e-6 },
      },
      vision: { hiddenSize: 1152, layers: 26, heads: 16, intermediateSize: 4304 },
      trunk:
        hidden === 3584
          ? { heads: 28, kvHeads: 4, intermediateSize: 18944, tieWordEmbeddings: false }
          : { heads: 12, kvHeads: 2, intermediateSize: 8960, tieWordEmbeddings: true },
    });
    expect(model.trunk).toMatchObject({ hiddenSize: hidden, layers: 28, headDim: 128, ropeTheta: 1e6 });
  });

  it('are refused with the file and the field', () => {
    expect(() => parseShowo2Yaml('model: {showo: {hidden_size: 7}}', 'a.yaml')).toThrow(/a\.yaml/);
    expect(() => parseShowo2Yaml(yaml({ ...demos[0]!, hidden: 1000 }), 'b.yaml')).toThrow(
      /b\.yaml.*hidden_size 1000.*llm/,
    );
    const circle = `model: {showo: {hidden_size: "\${model.showo.hidden_size}"}}`;
    expect(() => parseShowo2Yaml(circle, 'c.yaml')).toThrow(/circles/);
  });
});
