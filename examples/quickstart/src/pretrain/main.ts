/**
 * Makes the quickstart's model from nothing but rendered scenes: a small VAE first, then a small Show-o2 on its
 * latents. Both parts continue from where they were stopped.
 *
 *     npm run pretrain -w examples/quickstart -- --work runs/pretrain
 */

import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadParams, saveSafetensors } from '@flow-grpo/checkpoint-io';
import { shapeScenes } from '@flow-grpo/datasets';
import { evaluator, type FitReport, resolveConfig } from '@flow-grpo/grpo-trainer';
import { shapeEval } from '@flow-grpo/rewards';
import {
  initParams,
  parseVaeConfig,
  saveShowo2,
  vaeConfigJson,
  wordTokenizer,
} from '@flow-grpo/showo2-model';
import '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { accuracies, heldOutPrompts } from '../evaluation';
import { SAMPLING, smallPolicy } from '../policy';
import { IMAGE_SIZE, RECORD, smallShowo2Config, vocabulary } from '../small-model';
import { fitShowo2 } from './flow';
import { readPretrainOptions } from './options';
import { fitVae, roundTrip, type Vae } from './vae';

const options = readPretrainOptions(process.argv.slice(2));
const started = performance.now();
await tf.setBackend('xla');
const work = (...names: string[]) => join(options.work, ...names);
const VAE = { weights: work('vae', 'model.safetensors'), config: work('vae', 'config.json') };
await mkdir(work('vae'), { recursive: true });
const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
process.once('SIGTERM', () => stop.abort());

const words = vocabulary();
const vae = await makeVae();
if (vae && !stop.signal.aborted) await makeShowo2(vae);
process.exit(stop.signal.aborted ? 130 : 0);

/** Trains the VAE, or loads it when it is finished; undefined when it was stopped before. */
async function makeVae(): Promise<Vae | undefined> {
  const scenes = shapeScenes({ size: IMAGE_SIZE, seed: options.seed, split: 'train' });
  if (!existsSync(VAE.weights) || !existsSync(VAE.config)) {
    const made = await fitVae(scenes, options.vaeBatch, {
      steps: options.vaeSteps,
      seed: options.seed,
      checkpoint: work('vae', 'checkpoint'),
      onReport: report('VAE'),
      signal: stop.signal,
    });
    if (!made) return undefined;
    await saveSafetensors(VAE.weights, made.params, { dtype: 'float16' });
    await writeFile(VAE.config, `${JSON.stringify(vaeConfigJson(made.config), null, 2)}\n`);
  }
  const config = parseVaeConfig(JSON.parse(readFileSync(VAE.config, 'utf8')), VAE.config);
  const vae = { params: await loadParams(VAE.weights), config };
  const kept = await roundTrip(scenes, vae);
  console.log(`VAE: the checker accepts ${(100 * kept).toFixed(1)} % of scenes after encoding and decoding`);
  return vae;
}

/** Trains Show-o2, measuring what it can at every checkpoint, which stays as a file of its own. */
async function makeShowo2(vae: Vae): Promise<void> {
  const { kinds, seed } = options;
  const tokenizer = wordTokenizer({ words });
  const config = smallShowo2Config(tokenizer);
  const prompts = heldOutPrompts(600, kinds);
  const policy = smallPolicy({ params: initParams(config, seed), config, vae, tokenizer }, ['*']);
  const scorer = shapeEval();
  const evaluate = evaluator(
    policy,
    scorer,
    prompts,
    resolveConfig({ sampling: SAMPLING, evalBatchSize: 200 }),
  );
  const history: { step: number; seconds: number; strict: Record<string, number> }[] = [];
  const record = async (steps: number, ema: Record<string, tf.Tensor>, folder: string) => {
    const vocabulary = { type: 'word', words } as const;
    await saveShowo2(folder, { config, params: ema, vae }, { dtype: 'float16', vocabulary });
    const { out: _, work: __, ...recipe } = options;
    const made = { ...recipe, stepsDone: steps, seconds: secondsSince(started), history };
    await writeFile(join(folder, RECORD), `${JSON.stringify(made, null, 2)}\n`);
  };
  const { ema, steps } = await fitShowo2(
    config,
    tokenizer,
    {
      scenes: shapeScenes({ size: IMAGE_SIZE, seed, split: 'train', kinds }),
      count: options.scenes,
      vae,
      batchSize: options.flowBatch,
    },
    {
      steps: options.flowSteps,
      seed,
      checkpoint: work('flow'),
      saveEvery: 3000,
      onReport: report('Show-o2'),
      onSave: async ({ step, ema }) => {
        await record(step, ema, work(`step-${step}`));
        const shares = accuracies(prompts, await evaluate(ema, 0));
        const strict = Object.fromEntries(shares.map((each) => [each.kind, each.strict]));
        history.push({ step, seconds: secondsSince(started), strict });
        const text = shares.map((each) => `${each.kind} ${(100 * each.strict).toFixed(1)} %`);
        console.log(`Show-o2: step ${step}, strict ${text.join(', ')}`);
      },
      signal: stop.signal,
    },
  );
  await record(steps, ema, options.out);
}

function secondsSince(start: number): number {
  return Math.round((performance.now() - start) / 1000);
}

function report(what: string) {
  return ({ step, steps, loss, gradNorm, stepsPerSecond, secondsLeft }: FitReport) =>
    console.log(
      `${what}: step ${step} of ${steps}, loss ${loss.toFixed(4)}, gradient norm ${gradNorm.toFixed(3)}, ` +
        `${(1000 / stepsPerSecond).toFixed(1)} ms a step, ${(secondsLeft / 60).toFixed(1)} minutes left`,
    );
}
