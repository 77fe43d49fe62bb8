/** What a policy gradient needs of two policies at one step: KL divergence and importance ratios. */
export { gaussianKl, klOfVelocities } from './kl';
export { guardedRatio, guardedWeight, importanceRatio, logRatio, type TwoPolicies } from './ratio';
