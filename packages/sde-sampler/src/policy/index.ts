/** KL divergence and importance ratios of two policies at one step, for policy gradients. */
export { gaussianKl, klOfVelocities } from './kl';
export { guardedRatio, guardedWeight, importanceRatio, logRatio, type TwoPolicies } from './ratio';
