/** GRPO-Guard: Flow-GRPO with ratios that are centred and of one scale over steps. */
import { defineAlgorithm } from './algorithm';
import { configurePolicyGradient, policyGradientOptions, policyGradientProblems } from './policy-gradient';

export const guard = defineAlgorithm({
  name: 'guard',
  summary: 'GRPO-Guard: Flow-GRPO with normalised ratios, against overconfident steps',
  source: 'Wang et al., GRPO-Guard (arXiv 2510.22319); flow_grpo/scripts/train_sd3_GRPO_Guard.py',
  options: policyGradientOptions,
  check: (_options, config) => [
    ...policyGradientProblems('guard', config),
    ...(config.sampling.rule === 'cps'
      ? ["algorithm guard normalises by the SDE's noise; it needs sampling.rule sde"]
      : []),
  ],
  configure: (options, run) => configurePolicyGradient(options, run, { guarded: true }),
});
