/** The programs of an epoch, compiled for devices and weights that need not be there. */
import { compileAhead, type PlannedProgram, random } from '@flow-grpo/tfjs-jit';
import type { AnyAlgorithm } from './algorithms/algorithm';
import type { GrpoConfig } from './config/schema';
import { placementOn } from './devices';
import type { Policy } from './policy';
import { createRollout } from './rollout/create-rollout';
import { epochPlan } from './rollout/epoch-plan';
import { createUpdate, PLANNED_PASSES } from './update/create-update';
import { drawingWeights, initialCopies, initialOptimizerState, placedWeights } from './update/state';
import { flopCounter } from './utilisation';

/** A program of an epoch; `calls` is how often an epoch runs it. */
export type EpochProgram = PlannedProgram;

/**
 * Compiles what an epoch runs on `config.devices` devices of the active backend, rollouts and updates, without a value: nothing
 * runs, and weights made by `placeholder` take no memory. Rewards, evaluations and checks of divergence are left out.
 *
 * @param makePolicy called once, where placeholders may be made
 * @throws {Error} on a backend without a compiler or with fewer devices, and what tracing and compiling throw
 */
export async function planEpoch(
  makePolicy: () => Policy,
  config: GrpoConfig,
  chosen?: AnyAlgorithm,
): Promise<readonly EpochProgram[]> {
  const placement = placementOn(config.devices, config);
  const plan = epochPlan(config, chosen);
  const { algorithm } = plan;
  const { promptsPerEpoch } = config.sampling;
  const examples = Array.from({ length: promptsPerEpoch }, (_, i) => ({ prompt: `${i}` }));
  const scorer = { name: 'none', score: async () => ({ scores: [], details: {} }) };
  const quiet: GrpoConfig = { ...config, hacking: { ...config.hacking, action: 'off' } };
  const programs = await compileAhead(() => {
    const policy = makePolicy();
    placement.splitFrozen(policy.params);
    const trained = placedWeights(policy, placement);
    const copies = initialCopies(algorithm.copies ?? {}, policy, () => trained);
    const state = { ...initialOptimizerState(trained), copies };
    const flops = flopCounter();
    const key = random.key(config.seed);
    const rollout = createRollout(policy, scorer, plan, quiet, placement, flops);
    const drawn = rollout.plan(drawingWeights(algorithm, state), examples, plan.window(0), key);
    createUpdate(policy, plan, quiet, placement, flops).plan(state, drawn, { epoch: 0, key });
  });
  const timesOf = runsOfPlanned(config, chosen);
  return programs.map(({ name, calls, cost }) => ({ name, calls: calls * timesOf(name), cost }));
}

/** How many runs of an epoch a planned one stands for, by name: rollouts are all planned, an update is in part. */
function runsOfPlanned(config: GrpoConfig, chosen: AnyAlgorithm | undefined): (name: string) => number {
  const { algorithm, batches, rowsPerPass } = epochPlan(config, chosen);
  const { units } = algorithm;
  const { updatesPerEpoch, innerEpochs } = config.training;
  const updates = updatesPerEpoch * innerEpochs;
  const passes = Math.ceil((units.size * Math.ceil(units.perEpoch / updatesPerEpoch)) / rowsPerPass);
  const share = passes / Math.min(passes, PLANNED_PASSES);
  const times: Readonly<Record<string, number>> = {
    decode: batches,
    gradientPass: share * updates,
    // Planned before and after one update; of the first update there is nothing to compare.
    measurePass: share * (updates - 1),
    ...Object.fromEntries(
      ['prepare', 'zeroPrepared', 'zeroGradients', 'prepareGradients', 'optimizerStep'].map((name) => [
        name,
        updates,
      ]),
    ),
  };
  return (name) => times[name] ?? 1;
}
