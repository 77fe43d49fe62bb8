/** Estimates a run on many machines, memory, network and scaling, from the run on one. */
import type { GrpoConfig } from '@flow-grpo/grpo-trainer';
import { epochPlan } from '@flow-grpo/grpo-trainer/config';
import type { HostPrograms } from './host-programs';
import { type MemoryEstimate, type ModelSizes, memoryOf } from './memory-estimate';
import { bytes, textTable } from './start-table';

export interface HostsQuestion {
  readonly hosts: number;
  /** Bytes per second that a host sends to the others, and receives. */
  readonly bandwidth: number;
  /** Of an epoch on one host, where that was measured. */
  readonly seconds?: number | undefined;
  /** Whether to compile the programs for all devices, rather than to calculate alone. */
  readonly compile?: boolean;
}

/** Of N hosts, each of which has the devices and does the work of the configuration. Bytes are per epoch. */
export interface HostsEstimate {
  readonly devices: number;
  readonly images: number;
  readonly memory: MemoryEstimate;
  /** What compiled programs say, where they were compiled. */
  readonly programs: HostPrograms | undefined;
  /** That one host sends to sum gradients; undefined where weights are split, which are gathered at every use. */
  readonly gradientBytes: number | undefined;
  /** That one host sends so that each device has the rows of its passes; undefined where that is not known. */
  readonly rowBytes: number | undefined;
  /** Of sending both, nothing else being done meanwhile. */
  readonly networkSeconds: number | undefined;
  /** Time of an epoch on one host over that on all, each image being as much work. */
  readonly efficiency: number | undefined;
}

/** The same run on N hosts: as many prompts, images per rollout and rows per pass on each device as before. */
export function onHosts(config: GrpoConfig, hosts: number): GrpoConfig {
  const { sampling, training, devices } = config;
  const { batchSize } = epochPlan(config);
  return {
    ...config,
    devices: devices * hosts,
    sampling: {
      ...sampling,
      promptsPerEpoch: sampling.promptsPerEpoch * hosts,
      batchSize: batchSize * hosts,
    },
    training: { ...training, batchSize: epochPlan(config).rowsPerPass * hosts },
  };
}

/**
 * With `programs` what is sent is what XLA wrote into them. Otherwise: gradients are summed once per update, in float32: a
 * ring passes 2·(N − 1)/N of them through every host. Images train where they were drawn, or, where only latents are kept, are
 * dealt to passes at random: then a host sends the others their share of what it keeps of all of them.
 */
export function estimateHosts(
  model: ModelSizes,
  config: GrpoConfig,
  { hosts, bandwidth, seconds }: HostsQuestion,
  programs?: HostPrograms,
): HostsEstimate {
  const scaled = onHosts(config, hosts);
  const { epochSize, trainsInPlace } = epochPlan(scaled);
  const { innerEpochs, updatesPerEpoch } = scaled.training;
  const memory = memoryOf(model, scaled);
  const others = (hosts - 1) / hosts;
  const updates = updatesPerEpoch * innerEpochs;
  const gradientBytes =
    config.shardParameters || config.shardFrozen
      ? undefined
      : 2 * others * 4 * model.trainedParameters * updates;
  const keptBytes = trainsInPlace ? 0 : memory.samples;
  const rowBytes = keptBytes === undefined ? undefined : others * keptBytes * scaled.devices * innerEpochs;
  const calculated =
    gradientBytes === undefined || rowBytes === undefined ? undefined : gradientBytes + rowBytes;
  const sent = programs ? sumOf(programs.sent) : calculated;
  const networkSeconds = sent === undefined ? undefined : sent / bandwidth;
  return {
    devices: scaled.devices,
    images: epochSize,
    memory,
    programs,
    gradientBytes,
    rowBytes,
    networkSeconds,
    efficiency:
      seconds === undefined || networkSeconds === undefined
        ? undefined
        : seconds / (seconds + networkSeconds),
  };
}

const sumOf = (values: Readonly<Record<string, number>>): number =>
  Object.values(values).reduce((sum, value) => sum + value, 0);

/** The estimate as a table. */
export function hostsTable({ hosts, bandwidth }: HostsQuestion, estimate: HostsEstimate): string {
  const { devices, images, memory, programs, networkSeconds, efficiency } = estimate;
  const held = memory.weights + memory.training + (memory.samples ?? 0);
  return textTable([
    ['hosts', `${hosts}, ${devices} devices, ${images} images per epoch: as much work per machine as on one`],
    ['memory', `${bytes(held)} per device before activations${programs ? temporaryText(programs) : ''}`],
    ['network', `each host sends ${programs ? sentText(programs) : calculatedText(estimate)} per epoch`],
    [
      'scaling',
      networkSeconds === undefined
        ? 'not estimated'
        : `${networkSeconds.toPrecision(3)} s of it per epoch at ${bytes(bandwidth)}/s${
            efficiency === undefined
              ? '; the share of the speed is known after two epochs on one host'
              : `: ${(100 * efficiency).toFixed(1)} % of ${hosts} times one host's speed, if nothing overlaps`
          }`,
    ],
    [
      'from',
      programs
        ? `rollouts and updates compiled by XLA for ${programs.compiledFor}; without the decoder and rewards, which exchange nothing`
        : 'arithmetic: no program was compiled',
    ],
  ]);
}

const temporaryText = ({ temporary }: HostPrograms) =>
  `, and ${bytes(temporary.bytes)} for ${temporary.program} while it runs`;

function sentText({ sent }: HostPrograms): string {
  const parts = Object.entries(sent).map(([operation, value]) => `${bytes(value)} by ${operation}`);
  return parts.length > 0 ? parts.join(', ') : 'nothing';
}

function calculatedText({ gradientBytes, rowBytes }: HostsEstimate): string {
  const known = (value: number | undefined, why: string) => (value === undefined ? why : bytes(value));
  const gradients = `${known(gradientBytes, 'weights at every use (split, not estimated)')} of gradients`;
  return rowBytes === 0
    ? gradients
    : `${gradients} and ${known(rowBytes, 'an unknown amount')} of images' latents`;
}
