import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { parseShowo2Config, parseShowo2Yaml, showo2ConfigJson } from '../src/index';

const yaml = (grid: number, tokens: number, length: number, hidden = 1536) => `
model:
  showo:
    hidden_size: ${hidden}
    image_latent_dim: 16
    image_latent_height: ${grid}
    image_latent_width: \${model.showo.image_latent_height}
    patch_size: 2
    clip_latent_dim: 1152
    llm_vocab_size: null
    num_refiner_layers: 10
dataset:
  preprocessing:
    max_seq_length: ${length}
    resolution: ${grid * 16}
    num_t2i_image_tokens: ${tokens}
transport:
  guidance_scale: 5.0
  num_inference_steps: 20
  time_shifting_factor: 3.0
`;

describe('configurations', () => {
  it.each(fixtureCases('showo2-tiny'))('of $name survive config.json', ({ dir }) => {
    const config = parseShowo2Config(readJson<{ config: unknown }>(dir, 'case.json').config);
    expect(parseShowo2Config(JSON.parse(JSON.stringify(showo2ConfigJson(config))))).toEqual(config);
  });

  it('of upstream YAML get the published sizes, references resolved', () => {
    const small = parseShowo2Yaml(yaml(27, 729, 1024));
    expect(small.model.trunk).toMatchObject({
      layers: 28,
      heads: 12,
      kvHeads: 2,
      intermediateSize: 8960,
      headDim: 128,
    });
    expect(small.model).toMatchObject({ gridWidth: 27, maxTextLength: 290, vocabSize: 151669 });
    expect(small.model.head).toMatchObject({
      hiddenSize: 2048,
      layers: 10,
      heads: 32,
      kvHeads: 8,
      headDim: 64,
    });
    expect(small.sampling).toEqual({ guidanceScale: 5, gridPoints: 20, shift: 3, resolution: 432 });
    const large = parseShowo2Yaml(yaml(64, 4096, 4352, 3584)).model;
    expect(large.trunk).toMatchObject({ layers: 28, heads: 28, kvHeads: 4, tieWordEmbeddings: false });
    expect(large.positionGrid).toBe(27);
  });

  it('are refused with the file and the field', () => {
    expect(() => parseShowo2Yaml('model: {showo: {hidden_size: 7}}', 'a.yaml')).toThrow(/a\.yaml/);
    expect(() => parseShowo2Yaml(yaml(27, 729, 1024, 1000), 'b.yaml')).toThrow(
      /b\.yaml.*hidden_size 1000.*llm/,
    );
    const circle = `model: {showo: {hidden_size: "\${model.showo.hidden_size}"}}`;
    expect(() => parseShowo2Yaml(circle, 'c.yaml')).toThrow(/circles/);
  });
});
