/**
 * The quickstart as a setup of run files, for `flow-grpo compare`: the small model, its training prompts, held-out prompts, and
 * the checker as reward, whose detail `strict` is the accuracy.
 */
import { shapeEval } from '@flow-grpo/rewards';
import { defineSetup } from 'flow-grpo';
import { heldOutPrompts, trainingPrompts } from './evaluation';
import { smallPolicy } from './policy';
import { ASSETS, loadSmallModel } from './small-model';

const PROMPTS = 4096;

/**
 * Options: `evalPrompts`, images of held-out prompts (480); `model`, the small model's folder. Seeds of runs draw from one list of
 * training prompts.
 */
export default defineSetup(async ({ evalPrompts = 480, model: folder = ASSETS }) => {
  if (typeof evalPrompts !== 'number') throw new Error('setup.options.evalPrompts: give a number of images');
  if (typeof folder !== 'string') throw new Error('setup.options.model: give a folder');
  const model = await loadSmallModel(folder);
  return {
    policy: smallPolicy(model, ['**']),
    prompts: trainingPrompts(0, PROMPTS, model.kinds),
    evalPrompts: heldOutPrompts(evalPrompts, model.kinds),
    scorer: shapeEval(),
  };
});
