/** Reward-weighted regression. */
import { rawReward } from '../maths/advantages';
import { defineAlgorithm } from './algorithm';
import { configureFlowMatching, flowMatchingOptions } from './flow-matching';

export const rwr = defineAlgorithm({
  name: 'rwr',
  summary: "RWR: flow matching on the policy's own images, weighted by their rewards",
  source: 'Peters and Schaal (ICML 2007); flow_grpo/scripts/train_sd3_sft.py',
  options: flowMatchingOptions,
  configure: (options, run) => configureFlowMatching(options, run, rawReward),
});
