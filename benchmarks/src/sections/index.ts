/** What can be measured, in the order of value. */
import type { Workload } from '../workload';
import { agreement } from './agreement';
import { allReduce } from './all-reduce';
import { attention } from './attention';
import { decode } from './decode';
import { dispatch } from './dispatch';
import { epoch } from './epoch';
import { fullParameters, shardedParameters } from './full-parameters';
import { gemms } from './gemms';
import { hosts, hostsAgreement, hostsRecipe, hostsSum } from './hosts';
import { hostsPlan } from './hosts-plan';
import { hostsKills } from './kills';
import { learning } from './learning';
import { matmul } from './matmul';
import { overlap } from './overlap';
import {
  recipe,
  recipeAll,
  recipeAllParameters,
  recipeLora,
  recipeOne,
  recipeResumed,
  recipeVariant,
} from './recipe';
import { RECIPE_VARIANTS } from './recipe-variants';
import { rollout } from './rollout';
import { rounding } from './rounding';
import { runWhileCompiling } from './run-while-compiling';
import { scaling } from './scaling';
import { scorer } from './scorer';
import { recipeSignals } from './signals';
import { startup } from './startup';
import { update } from './update';
import { zImage } from './z-image';

export interface Section {
  readonly run: (workload: Workload) => Promise<void>;
  /** Seconds after which it is stopped. */
  readonly limit: number;
  /** Virtual devices it wants where there is no GPU; 1 by default. 0: it starts processes that use devices, itself none. */
  readonly devices?: number;
}

export const SECTIONS: Readonly<Record<string, Section>> = {
  matmul: { run: matmul, limit: 90 },
  gemms: { run: gemms, limit: 120, devices: 0 },
  attention: { run: attention, limit: 90 },
  allReduce: { run: (workload) => allReduce(workload), limit: 120, devices: 2 },
  dispatch: { run: dispatch, limit: 60 },
  rollout: { run: rollout, limit: 240 },
  decode: { run: decode, limit: 120 },
  update: { run: update, limit: 240 },
  epoch: { run: epoch, limit: 300 },
  overlap: { run: overlap, limit: 400 },
  scorer: { run: scorer, limit: 120 },
  fullParameters: { run: fullParameters, limit: 240 },
  shardedParameters: { run: shardedParameters, limit: 400, devices: 2 },
  scaling: { run: scaling, limit: 400, devices: 2 },
  startup: { run: startup, limit: 400, devices: 0 },
  recipe: { run: recipe, limit: 1500, devices: 0 },
  // Its parts, so that no command takes longer than ten minutes; they share files with --keep.
  recipeOne: { run: recipeOne, limit: 570, devices: 0 },
  recipeAll: { run: recipeAll, limit: 570, devices: 0 },
  recipeResumed: { run: recipeResumed, limit: 570, devices: 0 },
  recipeAllParameters: { run: recipeAllParameters, limit: 600, devices: 0 },
  'recipe.signals': { run: recipeSignals, limit: 580, devices: 0 },
  hosts: { run: hosts, limit: 900, devices: 0 },
  // Its parts, and what takes long.
  'hosts.agreement': { run: hostsAgreement, limit: 400, devices: 0 },
  'hosts.allReduce': { run: hostsSum, limit: 250, devices: 0 },
  'hosts.recipe': { run: hostsRecipe, limit: 580, devices: 0 },
  'hosts.kills': { run: hostsKills, limit: 590, devices: 0 },
  'hosts.plan': { run: hostsPlan, limit: 580, devices: 0 },
  learning: { run: learning, limit: 1200, devices: 0 },
  recipeLora: { run: recipeLora, limit: 900, devices: 0 },
  ...Object.fromEntries(
    Object.keys(RECIPE_VARIANTS).map((name) => [
      `recipe.${name}`,
      { run: () => recipeVariant(name), limit: 400, devices: 0 },
    ]),
  ),
  zImage: { run: zImage, limit: 570, devices: 0 },
  agreement: { run: agreement, limit: 120 },
  runWhileCompiling: { run: runWhileCompiling, limit: 200 },
  rounding: { run: rounding, limit: 4000, devices: 0 },
};
