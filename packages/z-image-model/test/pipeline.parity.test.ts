import { fixtureCases, maxAbsDiff, numbers, readJson } from '@flow-grpo/test-support';
import { useWasm } from '@flow-grpo/test-support/wasm';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { unscaleLatents } from '../src/autoencoder/autoencoder';
import type { Conditioning, GenerateOptions } from '../src/index';
import { ZImage } from '../src/node';
import { parseSchedulerConfig, scheduleFor, shiftFor } from '../src/pipeline/scheduler';
import { items, textStates } from './calls';
import { type CaseJson, channelsFirst, channelsLast, Expectations, readCase, toTensor } from './case';

await useWasm();

interface Run {
  guidance_scale: number;
  cfg_normalization?: boolean | number;
  cfg_truncation?: number;
  dynamic?: boolean;
}
interface PipelineJson extends CaseJson {
  config: Record<string, unknown> & {
    prompts: string[];
    negative_prompts: string[];
    image_height: number;
    image_width: number;
    steps: number;
    max_sequence_length: number;
    runs: Record<string, Run>;
  };
  schedules: {
    rows: {
      key: string;
      steps: number;
      shift: number;
      use_dynamic_shifting: boolean;
      image_tokens: number | null;
      mu: number | null;
    }[];
  };
}

describe.each(fixtureCases('z-image-pipeline'))('$name', async ({ dir }) => {
  const { json, read } = readCase<PipelineJson>(dir);
  const { config } = json;
  const model = await ZImage.fromPretrained(dir, { dtype: 'float32' });
  afterAll(() => model.dispose());
  const stored = readJson<Record<string, unknown>>(dir, 'scheduler/scheduler_config.json');
  const inputs = read('inputs.safetensors');
  const outputs = new Expectations(read('outputs.safetensors'), json.tolerances, 'outputs');
  const [count, size] = [config.steps, [config.image_height, config.image_width] as const];

  it('encodes the prompts', () => {
    for (const [name, prompts] of [
      ['prompt_embeds', config.prompts],
      ['negative_embeds', config.negative_prompts],
    ] as const) {
      const { states, lengths } = model.encodePrompts(prompts, { maxTokens: config.max_sequence_length });
      const given = items(inputs, name);
      expect([...lengths.dataSync()]).toEqual(given.map(({ shape }) => shape[0]));
      for (const [i, { shape }] of given.entries()) {
        const own = tf.slice(states, [i, 0, 0], [1, shape[0]!, -1]);
        expect(maxAbsDiff(own.dataSync(), numbers(given[i]!))).toBeLessThan(5e-5);
      }
      tf.dispose([states, lengths]);
    }
  });

  it('spaces noise levels as the scheduler', () => {
    const schedules = read('schedules.safetensors');
    for (const { key, steps, shift, use_dynamic_shifting, image_tokens, mu } of json.schedules.rows) {
      const scheduler = parseSchedulerConfig({ ...stored, shift, use_dynamic_shifting });
      const { times } = scheduleFor(scheduler, steps, image_tokens ?? 1);
      const sigmas = times.map((t) => 1 - t);
      expect(maxAbsDiff(sigmas, numbers(schedules[`${key}.sigmas`]!)), key).toBeLessThan(1e-6);
      expect(maxAbsDiff(times.slice(0, -1), numbers(schedules[`${key}.model_t`]!)), key).toBeLessThan(1e-6);
      if (mu !== null) expect(Math.log(shiftFor(scheduler, image_tokens!)), key).toBeCloseTo(mu, 6);
    }
    const rows = json.schedules.rows.flatMap(({ key }) => [`${key}.sigmas`, `${key}.model_t`]);
    expect(Object.keys(schedules).sort()).toEqual(rows.sort());
  });

  const given: Conditioning = {
    prompt: textStates(items(inputs, 'prompt_embeds').map((each) => toTensor(each) as tf.Tensor2D)),
    negative: textStates(items(inputs, 'negative_embeds').map((each) => toTensor(each) as tf.Tensor2D)),
  };
  const noise = channelsLast(toTensor(inputs.noise!));
  const scaleOf = ([, run]: readonly [string, Run]) => run.guidance_scale;
  const [[lightest]] = Object.entries(config.runs).sort((a, b) => scaleOf(a) - scaleOf(b)) as [[string, Run]];

  describe.each(Object.entries(config.runs))('the run %s', (name, run) => {
    const own = (what: string) => `${name}.${what}`;
    const options: GenerateOptions = {
      size,
      steps: count,
      guidanceScale: run.guidance_scale,
      cfgNormalization: run.cfg_normalization,
      cfgTruncation: run.cfg_truncation,
      latents: noise,
      maxTokens: config.max_sequence_length,
    };
    const scheduler = parseSchedulerConfig({ ...stored, use_dynamic_shifting: run.dynamic === true });
    const runner = new ZImage({ ...model.parts, scheduler });
    const [, height, width] = model.latentShape(1, size);
    const tokens = (height * width) / model.parts.transformer.config.patchSize ** 2;
    const { times } = scheduleFor(scheduler, count, tokens);
    const guided = outputs.values(own('guided_steps'));

    it('takes the same steps', () => {
      outputs.compare(own('sigmas'), tf.tensor1d(times.map((t) => 1 - t)));
      outputs.compare(own('model_t'), tf.tensor1d(times.slice(0, -1)));
      const steps = outputs.values(own('timesteps'));
      expect(
        maxAbsDiff(
          times.slice(0, -1).map((t) => 1000 * (1 - t)),
          steps,
        ),
      ).toBeLessThan(1e-3);
    });

    const denoise = async () => {
      const seen = [noise];
      const latents = await runner.denoise(given, {
        ...options,
        onStep: ({ latents: now }) => void seen.push(tf.keep(tf.clone(now))),
      });
      outputs.compare(own('latents'), tf.stack(seen.map(channelsFirst)));
      return latents;
    };

    // One run, of the least work, on the plain backend too.
    if (name === lightest && tf.getBackend() === 'wasm')
      it('passes through the same latents on cpu', async () => {
        await tf.setBackend('cpu');
        try {
          await denoise();
        } finally {
          await tf.setBackend('wasm');
        }
      });

    it('passes through the same latents', async () => {
      const latents = await denoise();
      if (outputs.has(own('decoder_input'))) {
        const input = unscaleLatents(runner.parts.vae.config, latents);
        outputs.compare(own('decoder_input'), channelsFirst(input));
      }
      const decoded = runner.programs.decode(runner.parts.vae.params, latents);
      if (outputs.has(own('decoded'))) outputs.compare(own('decoded'), channelsFirst(decoded));
    });

    it('has the same velocities, guided where the pipeline guides', () => {
      const { params } = runner.parts.transformer;
      const refine = runner.programs.refineCaptions;
      const [conditional, unconditional] = [refine(params, given.prompt), refine(params, given.negative!)];
      const states = tf.unstack(toTensor(read('outputs.safetensors')[own('latents')]!)).slice(0, -1);
      const all: Record<string, tf.Tensor[]> = { v: [], v_cond: [], v_uncond: [] };
      for (const [i, state] of states.entries()) {
        const x = channelsLast(state);
        const t = tf.fill([x.shape[0]], times[i]!);
        const alone = runner.programs.velocity(params, x, t, conditional);
        all.v_cond!.push(alone);
        const { guidanceScale = 0, cfgNormalization, cfgTruncation } = options;
        const guidance = { guidanceScale, cfgNormalization, cfgTruncation };
        if (guided[i] === 1) {
          all.v_uncond!.push(runner.programs.velocity(params, x, t, unconditional));
          all.v!.push(runner.programs.guidedVelocity(params, x, t, conditional, unconditional, guidance));
        } else all.v!.push(alone);
      }
      for (const [what, list] of Object.entries(all)) {
        if (outputs.has(own(what))) outputs.compare(own(what), tf.stack(list.map(channelsFirst)));
      }
    });

    it('draws the same images from prompts', async () => {
      const negative = config.negative_prompts;
      const image = await runner.generate(config.prompts, { ...options, negativePrompt: negative });
      if (outputs.has(own('image'))) outputs.compare(own('image'), channelsFirst(image));
      if (outputs.has(own('image_uint8'))) {
        const bytes = tf.round(tf.mul(channelsFirst(image), 255)).dataSync();
        // Where rounding is close, one level either way.
        const different = maxAbsDiff(bytes, outputs.values(own('image_uint8')));
        expect(different).toBeLessThanOrEqual(1);
      }
      expect(image.shape).toEqual([config.prompts.length, ...size, 3]);
    });
  });

  it('leaves no output of the case uncompared', () => {
    expect(outputs.forgotten).toEqual([]);
  });
});
