/** Supervised fine-tuning on the best image of each prompt. */
import { bestOfGroup } from '../maths/advantages';
import { needsSeveralImages } from './advantage-options';
import { defineAlgorithm } from './algorithm';
import { configureFlowMatching, flowMatchingOptions } from './flow-matching';

export const sft = defineAlgorithm({
  name: 'sft',
  summary: "SFT: flow matching on the best of each prompt's own images",
  source: 'flow_grpo/scripts/train_sd3_sft.py',
  options: flowMatchingOptions,
  check: (_options, { sampling }) => needsSeveralImages(sampling),
  configure: (options, run) => configureFlowMatching(options, run, bestOfGroup),
});
