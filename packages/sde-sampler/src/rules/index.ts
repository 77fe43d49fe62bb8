/** The step rules. Each maps the times and noise level of a step to the Gaussian that it draws from, and states its limits. */
import { cps } from './cps';
import { dance } from './dance';
import { ode } from './ode';
import type { StepRule } from './rule';
import { sde } from './sde';

export type { Arithmetic } from './arithmetic';
export type { Density, RuleInput, RuleOutput, StepRule } from './rule';

export type RuleName = 'ode' | 'sde' | 'cps' | 'dance';

/** The rules by name. */
export const stepRules: Readonly<Record<RuleName, StepRule>> = { ode, sde, cps, dance };

/** A rule by its name, or your own rule. Throws on an unknown name. */
export function ruleOf(rule: RuleName | StepRule): StepRule {
  if (typeof rule !== 'string') return rule;
  const found = stepRules[rule];
  if (!found) throw new Error(`no step rule "${rule}"; there are ${Object.keys(stepRules).join(', ')}`);
  return found;
}
