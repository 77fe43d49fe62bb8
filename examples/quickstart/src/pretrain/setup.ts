/**
 * Makes the quickstart's model from nothing but rendered scenes: a small VAE first, then a small Show-o2 on its
 * latents. Both parts continue from where they were stopped.
 *
 *     npm run pretrain -w examples/quickstart
 */
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadParams, saveSafetensors } from '@flow-grpo/checkpoint-io';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import { shapeScenes } from '@flow-grpo/datasets';
import { createEvaluator, resolveConfig } from '@flow-grpo/grpo-trainer';
import { shapeEval } from '@flow-grpo/rewards';
import {
  initShowo2Params,
  parseVaeConfig,
  type Showo2Config,
  type TextTokenizer,
  vaeConfigJson,
  wordTokenizer,
} from '@flow-grpo/showo2-model';
import { saveShowo2 } from '@flow-grpo/showo2-model/node';
import { defineSetup, type SetupContext } from 'flow-grpo';
import type { FitCheckpoint, FitReport } from 'flow-grpo/pretrain';
import { accuracies, heldOutPrompts } from '../evaluation';
import { SAMPLING, smallPolicy } from '../policy';
import { percent } from '../report';
import { IMAGE_SIZE, RECORD, smallShowo2Config, vocabulary } from '../small-model';
import { showo2Pretraining } from './flow';
import { type PretrainOptions, readPretrainOptions } from './options';
import { fitVae, roundTrip, type Vae } from './vae';

export default defineSetup(async (given, context) => {
  const options = readPretrainOptions(given);
  const vae = await makeVae(options, context);
  const tokenizer = wordTokenizer({ words: vocabulary() });
  const config = smallShowo2Config(tokenizer);
  const { seed, kinds } = options;
  const data = {
    scenes: shapeScenes({ size: IMAGE_SIZE, seed, split: 'train', kinds }),
    count: options.scenes,
    vae,
    batchSize: options.flowBatch,
  };
  return {
    pretrain: showo2Pretraining(config, tokenizer, data, {
      steps: options.flowSteps,
      seed,
      saveEvery: options.saveEvery,
      onSave: recorder(options, { config, tokenizer, vae }, context),
    }),
  };
});

/** Trains the VAE, or loads it when it is finished. */
async function makeVae(options: PretrainOptions, { signal, onMessage }: SetupContext): Promise<Vae> {
  const { work, seed, vaeSteps, vaeBatch } = options;
  const folder = join(work, 'vae');
  const file = { weights: join(folder, 'model.safetensors'), config: join(folder, 'config.json') };
  const scenes = shapeScenes({ size: IMAGE_SIZE, seed, split: 'train' });
  makeFolder(folder);
  if (!existsSync(file.weights) || !existsSync(file.config)) {
    const made = await fitVae(scenes, vaeBatch, {
      steps: vaeSteps,
      seed,
      checkpoint: join(folder, 'checkpoint'),
      onReport: (report) => onMessage?.(reportText(report)),
      ...(signal && { signal }),
    });
    if (!made) throw signal?.reason ?? new Error('the VAE is not finished');
    await saveSafetensors(file.weights, made.params, { dtype: 'float16' });
    await writeFile(file.config, `${JSON.stringify(vaeConfigJson(made.config), null, 2)}\n`);
  }
  const config = parseVaeConfig(JSON.parse(readFileSync(file.config, 'utf8')), file.config);
  const vae = { params: await loadParams(file.weights), config };
  const kept = await roundTrip(scenes, vae);
  onMessage?.(`VAE: the checker accepts ${percent(kept)} of scenes after encoding and decoding`);
  return vae;
}

interface Parts {
  config: Showo2Config;
  tokenizer: TextTokenizer;
  vae: Vae;
}

/** Measures the model at every save and keeps it with what was measured until then; the last one is the finished model. */
function recorder(options: PretrainOptions, { config, tokenizer, vae }: Parts, { onMessage }: SetupContext) {
  const { out, work, kinds, seed } = options;
  const started = performance.now();
  const seconds = () => Math.round((performance.now() - started) / 1000);
  const prompts = heldOutPrompts(options.measured, kinds);
  const policy = smallPolicy({ params: initShowo2Params(config, seed), config, vae, tokenizer }, ['*']);
  const evaluation = resolveConfig({ sampling: SAMPLING, evalBatchSize: Math.min(200, prompts.length) });
  const evaluate = createEvaluator(policy, shapeEval(), prompts, evaluation);
  const history: { step: number; seconds: number; strict: Record<string, number> }[] = [];
  const words = vocabulary();

  return async ({ step, ema }: FitCheckpoint) => {
    const shares = accuracies(prompts, await evaluate(ema, 0));
    const strict = Object.fromEntries(shares.map((each) => [each.kind, each.strict]));
    history.push({ step, seconds: seconds(), strict });
    onMessage?.(
      `Show-o2: step ${step}, strict ${shares.map((each) => `${each.kind} ${percent(each.strict)}`).join(', ')}`,
    );
    const { out: _, work: __, ...recipe } = options;
    const record = { ...recipe, stepsDone: step, seconds: seconds(), history };
    for (const folder of [join(work, `step-${step}`), ...(step === options.flowSteps ? [out] : [])]) {
      await saveShowo2(
        folder,
        { config, params: ema, vae },
        { dtype: 'float16', vocabulary: { type: 'word', words } },
      );
      await writeFile(join(folder, RECORD), `${JSON.stringify(record, null, 2)}\n`);
    }
  };
}

const reportText = ({ step, steps, loss, stepsPerSecond, secondsLeft }: FitReport) =>
  `VAE: step ${step} of ${steps}, loss ${loss.toFixed(4)}, ${(1000 / stepsPerSecond).toFixed(1)} ms per step, ` +
  `${(secondsLeft / 60).toFixed(1)} minutes left`;
