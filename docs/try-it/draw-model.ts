/** Draws with the quickstart's model, before and after training. */
import { sample, shiftedSchedule } from '@flow-grpo/sde-sampler';
import {
  decodeImage,
  parseShowo2Config,
  parseVaeConfig,
  parseWordVocabulary,
  showo2LatentShape,
  wordTokenizer,
} from '@flow-grpo/showo2-model';
import { type Showo2Policy, showo2Policy } from '@flow-grpo/showo2-model/policy';
import * as tf from '@tensorflow/tfjs-core';
import { applyDelta } from './delta';
import { parseSafetensors, type StoredTensor } from './safetensors';

/** The files of a model, by their names in its folder. */
export interface ModelFiles {
  readonly json: (name: string) => Promise<unknown>;
  readonly bytes: (name: string) => Promise<ArrayBuffer>;
}

export interface Model {
  readonly policy: Showo2Policy;
  readonly before: Record<string, tf.Tensor>;
  readonly after: Record<string, tf.Tensor>;
}

export interface DrawOptions {
  readonly prompt: string;
  readonly count: number;
  readonly seed: number;
  /** 0 is the ODE. */
  readonly noiseLevel: number;
}

/** As the quickstart samples. */
const SCHEDULE = { steps: 12, shift: 3 };

export async function loadModel({ json, bytes }: ModelFiles): Promise<Model> {
  const [config, words, vaeConfig, weights, vaeWeights, delta] = await Promise.all([
    json('config.json'),
    json('vocabulary.json'),
    json('vae/config.json'),
    bytes('model.safetensors').then(parseSafetensors),
    bytes('vae/model.safetensors').then(parseSafetensors),
    bytes('tuned.safetensors').then(parseSafetensors),
  ]);
  const tokenizer = wordTokenizer(parseWordVocabulary(words));
  const model = { ...parseShowo2Config(config, 'config.json'), tokens: tokenizer.tokens };
  const vae = parseVaeConfig(vaeConfig, 'vae/config.json');
  const params = tensorsOf(weights);
  const vaeParams = tensorsOf(vaeWeights);
  const changed = tensorsOf(applyDelta(weights, delta));
  const policy = showo2Policy({
    params,
    config: model,
    tokenize: (prompt) => tokenizer.encode(prompt),
    decode: (latents) => {
      const pixels = decodeImage(vaeParams, vae, latents as tf.Tensor4D);
      return tf.clipByValue(tf.add(tf.mul(pixels, 0.5), 0.5), 0, 1) as tf.Tensor4D;
    },
    latentShape: showo2LatentShape(model),
    textLength: model.maxTextLength,
    train: Object.keys(changed),
  });
  const before = Object.fromEntries(policy.trainable.map((name) => [name, params[name]!]));
  // A name may stand for others that it is a part of; those are as they were.
  return { policy, before, after: { ...before, ...changed } };
}

/** Images [count, H, W, 3] in [0, 1]; the same seed is the same noise, whatever the weights. */
export function drawImages(
  policy: Showo2Policy,
  trained: Record<string, tf.Tensor>,
  options: DrawOptions,
): tf.Tensor4D {
  const { prompt, count, seed, noiseLevel } = options;
  return tf.tidy(() => {
    const condition = policy.encodePrompts([prompt]);
    const call = { trained, condition, purpose: 'sampling' as const };
    const prepared = policy.prepare(call);
    const rows = tf.zeros([count], 'int32') as tf.Tensor1D;
    const latents = sample((x, t) => policy.velocity({ ...call, prepared, rows, x, t }).velocity, {
      schedule: shiftedSchedule(SCHEDULE.steps, SCHEDULE.shift),
      rule: noiseLevel > 0 ? 'sde' : 'ode',
      noiseLevel,
      shape: [count, ...policy.latentShape],
      seed,
    });
    return policy.decode(latents);
  });
}

const tensorsOf = (stored: Readonly<Record<string, StoredTensor>>): Record<string, tf.Tensor> =>
  Object.fromEntries(
    Object.entries(stored).map(([name, { shape, values }]) => [name, tf.tensor(values, [...shape])]),
  );
