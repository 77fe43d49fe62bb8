/** Has this process join the others of its run. */
import { ConfigError } from '@flow-grpo/grpo-trainer';
import type { XlaOptions } from '@flow-grpo/tfjs-backend-xla';
import { ownGpus, type PlaceFlags, type ProcessPlace, placeInRun } from './place';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * What the backend is configured with for a place in a run.
 *
 * @param gpus how many this process sees
 * @throws {ConfigError} without a secret, and where the GPUs of a machine cannot be shared.
 */
export function distributedOptions(
  place: ProcessPlace,
  environment: Environment,
  gpus: number,
): Pick<XlaOptions, 'distributed' | 'clientOptions'> {
  const secret = environment.FLOW_GRPO_SECRET;
  if (!secret) {
    throw new ConfigError(
      'several processes need a secret that all of them know: set FLOW_GRPO_SECRET, e.g. export FLOW_GRPO_SECRET=$(openssl rand -hex 16) before srun',
    );
  }
  const { coordinator, processId, numProcesses } = place;
  const visible = ownGpus(place, gpus);
  return {
    distributed: {
      coordinator,
      processId,
      numProcesses,
      secret,
      bind: environment.FLOW_GRPO_BIND || undefined,
    },
    ...(visible && { clientOptions: { visible_devices: visible } }),
  };
}

/** The place of this process, and how the backend joins its run; undefined for a run of one process. */
export async function joining(
  flags: PlaceFlags,
  environment: Environment = process.env,
): Promise<(ProcessPlace & Pick<XlaOptions, 'distributed' | 'clientOptions'>) | undefined> {
  const place = placeInRun(flags, environment);
  if (!place) return undefined;
  const { gpuCount } = await import('@flow-grpo/pjrt'); // most commands start without it
  return { ...place, ...distributedOptions(place, environment, gpuCount(environment)) };
}
