/** Flow-GRPO. */
import { defineAlgorithm } from './algorithm';
import { configurePolicyGradient, policyGradientOptions, policyGradientProblems } from './policy-gradient';

export const grpo = defineAlgorithm({
  name: 'grpo',
  summary: 'Flow-GRPO: a clipped policy gradient over the noisy steps of the rollout',
  source: 'Liu et al., Flow-GRPO (arXiv 2505.05470); flow_grpo/scripts/train_sd3.py',
  options: policyGradientOptions,
  check: (_options, config) => policyGradientProblems('grpo', config),
  configure: (options, run) => configurePolicyGradient(options, run, { guarded: false }),
});
