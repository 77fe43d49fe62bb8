/** Checkpoints in memory: for rollbacks where there is no disk, such as a page in a browser. */
import * as tf from '@tensorflow/tfjs-core';
import { type Checkpoint, type CheckpointEntry, CheckpointStateError, type CheckpointStore } from './store';

interface HostTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

interface Kept extends Omit<Checkpoint, 'parts'> {
  readonly parts: Readonly<Record<string, Readonly<Record<string, HostTensor>>>>;
}

/** A store that lasts as long as the process. Values are kept on the host. */
export function memoryStore(): CheckpointStore {
  let kept: Kept[] = [];
  let taken = false;
  const archives: Kept[][] = [];
  const nameOf = (epoch: number) => `epoch ${epoch}`;
  const place = (epoch: number) => `memory, ${nameOf(epoch)}`;
  return {
    async acquire() {
      if (taken)
        throw new CheckpointStateError(
          'another run keeps its checkpoints in this store: give each run its own',
        );
      taken = true;
      return async () => {
        taken = false;
      };
    },
    recover: async () => {},
    list: async (): Promise<CheckpointEntry[]> =>
      kept.map(({ run: { epoch } }) => ({ name: nameOf(epoch), epoch, place: place(epoch) })),
    async save({ parts, ...rest }, keep) {
      const copied = await Promise.all(
        Object.entries(parts).map(async ([part, params]) => {
          const values = await Promise.all(
            Object.entries(params).map(async ([name, value]) => {
              const host = Float32Array.from(await value.data());
              return [name, { shape: value.shape, values: host }] as const;
            }),
          );
          return [part, Object.fromEntries(values)] as const;
        }),
      );
      const others = kept.filter((each) => each.run.epoch !== rest.run.epoch);
      const all = [...others, { ...rest, parts: Object.fromEntries(copied) }];
      kept = all.sort((a, b) => a.run.epoch - b.run.epoch).slice(-keep);
    },
    async open(name) {
      const found = kept.find(({ run }) => nameOf(run.epoch) === name);
      if (!found) throw new CheckpointStateError(`memory holds no checkpoint called ${name}`);
      const { run, config, setup, parts } = found;
      return {
        place: place(run.epoch),
        run,
        config,
        setup,
        parts: Object.keys(parts),
        read: async (part, upload = (value) => value) =>
          Object.fromEntries(
            Object.entries(parts[part] ?? {}).map(([own, { shape, values }]) => [
              own,
              // A copy: a backend may keep the array that a tensor is made of.
              upload(tf.tensor(values.slice(), [...shape], 'float32'), own),
            ]),
          ),
      };
    },
    async archiveLaterCheckpoints(epoch) {
      const later = kept.filter(({ run }) => run.epoch > epoch);
      if (later.length === 0) return undefined;
      kept = kept.filter(({ run }) => run.epoch <= epoch);
      archives.push(later);
      return `memory (archive ${archives.length})`;
    },
  };
}
