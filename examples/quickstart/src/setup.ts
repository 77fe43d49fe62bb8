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

/** Options: `evalPrompts`, images of held-out prompts (480). Seeds of runs draw from one list of training prompts. */
export default defineSetup(async ({ evalPrompts = 480 }) => {
  if (typeof evalPrompts !== 'number') throw new Error('setup.options.evalPrompts: give a number of images');
  const model = await loadSmallModel(ASSETS);
  return {
    policy: smallPolicy(model, ['**']),
    prompts: trainingPrompts(0, PROMPTS, model.kinds),
    evalPrompts: heldOutPrompts(evalPrompts, model.kinds),
    scorer: shapeEval(),
  };
});
