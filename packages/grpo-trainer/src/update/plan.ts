/** Which images meet in which gradient pass of which update. */
import { shuffled } from '../random';

/** One gradient pass: as many rows as every other; `weight` 0 marks padding and dropped images. */
export interface PlannedPass {
  readonly samples: readonly number[];
  readonly weights: readonly number[];
  /** Whether each device's rows are images that it holds. */
  readonly inPlace: boolean;
}

export interface PlanOptions {
  readonly updates: number;
  /** Rows per pass, constant so that one executable serves all: those of all members of its units together. */
  readonly rows: number;
  /** Each of so many devices has whole units: its rows follow those of the device before it. */
  readonly devices?: number;
  /** The device that holds an image; given, images stay there as far as devices have as many. Units are single images then. */
  readonly deviceOf?: (image: number) => number;
  /** Images without a reward, which units may hold all the same. */
  readonly dropped?: ArrayLike<boolean>;
}

type Unit = readonly number[];

/**
 * Shuffles units of images that stay together, deals them to the updates as evenly as possible, and cuts each update into
 * passes. The weights of an update sum to 1, so its gradient is the mean over its images. Returns fewer updates when there
 * are not enough units. Which images an update has does not depend on the number of devices.
 *
 * @param units of equally many images each
 */
export function planUpdates(
  units: readonly Unit[],
  random: () => number,
  { updates, rows, devices = 1, deviceOf, dropped }: PlanOptions,
): PlannedPass[][] {
  const dealt = deviceOf ? dealtInTurn(units, random, updates) : dealtAtRandom(units, random, updates);
  return dealt
    .filter((own) => own.length > 0)
    .map((own) => {
      const weight = 1 / own.flat().filter((i) => !dropped?.[i]).length;
      const weigh = (image: number) => (dropped?.[image] ? 0 : weight);
      if (!deviceOf) return passesOf(own, { rows, devices, weigh });
      const { inPlace, others } = heldPasses(own, { rows, devices, deviceOf, weigh });
      return [...inPlace, ...passesOf(others, { rows, devices, weigh })];
    });
}

function dealtAtRandom(units: readonly Unit[], random: () => number, updates: number): Unit[][] {
  const order = shuffled(random, units);
  const start = (u: number) => Math.floor((u * order.length) / updates);
  return Array.from({ length: updates }, (_, u) => order.slice(start(u), start(u + 1)));
}

/** Of units that follow one another one to each update: an update has its share of every prompt's, and of every device's. */
function dealtInTurn(units: readonly Unit[], random: () => number, updates: number): Unit[][] {
  const dealt: Unit[][] = Array.from({ length: updates }, () => []);
  for (let from = 0; from < units.length; from += updates) {
    const turns = shuffled(random, [...dealt.keys()]);
    for (const [i, unit] of units.slice(from, from + updates).entries()) dealt[turns[i]!]!.push(unit);
  }
  return dealt.map((own) => shuffled(random, own));
}

interface Cutting {
  readonly rows: number;
  readonly devices: number;
  /** The share of an image in the update. */
  readonly weigh: (image: number) => number;
}

/**
 * Passes of images that their devices hold, and the images that are left: none where that takes no more passes than images
 * that are dealt evenly, and what some devices have more than others where it would.
 */
function heldPasses(
  units: readonly Unit[],
  { rows, devices, deviceOf, weigh }: Cutting & { readonly deviceOf: (image: number) => number },
): { inPlace: PlannedPass[]; others: Unit[] } {
  const held: Unit[][] = Array.from({ length: devices }, () => []);
  for (const unit of units) held[deviceOf(unit[0]!)]!.push(unit);
  const each = rows / devices;
  const counts = held.map(({ length }) => length);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  const even = least > 0 && Math.ceil(most / each) <= Math.ceil(units.length / rows);
  const count = even ? Math.ceil(most / each) : Math.floor(least / each);
  const inPlace = Array.from({ length: count }, (_, p) => {
    const members = held.flatMap((own) =>
      Array.from({ length: each }, (_, i) => {
        const unit = own[p * each + i];
        const [sample] = (unit ?? own[0])!;
        return { sample: sample!, weight: unit ? weigh(sample!) : 0 };
      }),
    );
    return planned(members, true);
  });
  return { inPlace, others: held.flatMap((own) => own.slice(count * each)) };
}

/** Passes of images from anywhere. */
function passesOf(units: readonly Unit[], { rows, devices, weigh }: Cutting): PlannedPass[] {
  const size = units[0]?.length ?? 1;
  const perPass = Math.max(1, Math.floor(rows / size));
  const each = perPass / devices;
  return Array.from({ length: Math.ceil(units.length / perPass) }, (_, p) => {
    const group = units.slice(p * perPass, (p + 1) * perPass);
    const padded = Array.from({ length: perPass }, (_, i) => group[i] ?? group[0]!);
    // Member by member: all first images of a device's units, then all second ones.
    const members = Array.from({ length: devices * size }, (_, part) => {
      const [device, member] = [Math.floor(part / size), part % size];
      return padded.slice(device * each, (device + 1) * each).map((unit, i) => {
        const sample = unit[member]!;
        return { sample, weight: device * each + i < group.length ? weigh(sample) : 0 };
      });
    }).flat();
    return planned(members, false);
  });
}

const planned = (
  members: readonly { readonly sample: number; readonly weight: number }[],
  inPlace: boolean,
): PlannedPass => ({
  samples: members.map(({ sample }) => sample),
  weights: members.map(({ weight }) => weight),
  inPlace,
});
