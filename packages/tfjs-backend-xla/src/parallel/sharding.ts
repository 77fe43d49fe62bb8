/** How a tensor lies over several devices. */
import { client } from '../runtime/client';

/** A named arrangement of devices, for example `{ data: 2, model: 2 }`. */
export class Mesh {
  /** @internal */
  constructor(
    /** Axis names and sizes, slowest first. */
    readonly axes: Readonly<Record<string, number>>,
  ) {}

  /** Number of devices. */
  get size(): number {
    return Object.values(this.axes).reduce((n, d) => n * d, 1);
  }

  /** @internal Equal for equal meshes. */
  get key(): string {
    return Object.entries(this.axes)
      .map(([name, size]) => `${name}=${size}`)
      .join(',');
  }

  /** @internal Coordinates of device i along the axes. */
  coordinates(device: number): Record<string, number> {
    const at: Record<string, number> = {};
    let rest = device;
    for (const [name, size] of Object.entries(this.axes).reverse()) {
      at[name] = rest % size;
      rest = Math.floor(rest / size);
    }
    return at;
  }
}

/**
 * A mesh over the first devices of this process; the first axis is the slowest.
 *
 * @throws when there are fewer devices than the axes need.
 */
export function mesh(axes: Readonly<Record<string, number>>): Mesh {
  for (const [name, size] of Object.entries(axes)) {
    if (!/^[A-Za-z_]\w*$/.test(name)) throw new Error(`mesh: axis name "${name}" must be an identifier`);
    if (!Number.isInteger(size) || size < 1) throw new Error(`mesh: axis ${name} has size ${size}`);
  }
  const made = new Mesh({ ...axes });
  const available = client().devices.length;
  if (made.size > available) {
    throw new Error(
      `mesh: ${made.key} needs ${made.size} devices, there are ${available}; on the CPU call configure({ cpuDevices: ${made.size} }) first`,
    );
  }
  return made;
}

/** For each axis of a tensor: the mesh axis (or axes) that it is split over, or null. Missing axes are not split. */
export type PartitionSpec = readonly (string | readonly string[] | null)[];

export interface Sharding {
  readonly mesh: Mesh;
  readonly spec: readonly (readonly string[])[];
}

/** Checks a spec against a shape. */
export function sharding(mesh: Mesh, spec: PartitionSpec, shape: readonly number[]): Sharding {
  if (spec.length > shape.length) {
    throw new Error(`sharding [${spec}] has more axes than the tensor [${shape}]`);
  }
  const used = new Set<string>();
  const full = shape.map((extent, i) => {
    const entry = spec[i] ?? null;
    const names = entry === null ? [] : typeof entry === 'string' ? [entry] : [...entry];
    let parts = 1;
    for (const name of names) {
      const size = mesh.axes[name];
      if (size === undefined) throw new Error(`sharding: the mesh ${mesh.key} has no axis "${name}"`);
      if (used.has(name)) throw new Error(`sharding: mesh axis "${name}" is used twice`);
      used.add(name);
      parts *= size;
    }
    if (extent % parts !== 0) {
      throw new Error(`sharding: axis ${i} of [${shape}] is not divisible into ${parts} parts`);
    }
    return names;
  });
  return { mesh, spec: full };
}

/** Whether every device holds the whole tensor. */
export const isReplicated = (sharding: Sharding): boolean =>
  sharding.spec.every((names) => names.length === 0);

export const shardingKey = (sharding: Sharding): string =>
  `${sharding.mesh.key}:${sharding.spec.map((names) => names.join('+')).join('/')}`;

/** Shardy text: `<@mesh, [{"data"}, {}]>`. */
export const shardingText = ({ spec }: Sharding): string =>
  `<@mesh, [${spec.map((names) => `{${names.map((name) => `"${name}"`).join(', ')}}`).join(', ')}]>`;

/** The part of a tensor that one device holds: for each axis its start and extent. */
export function shardBox(sharding: Sharding, shape: readonly number[], device: number): [number, number][] {
  const at = sharding.mesh.coordinates(device);
  return shape.map((extent, i) => {
    let parts = 1;
    let index = 0;
    for (const name of sharding.spec[i]!) {
      const size = sharding.mesh.axes[name]!;
      index = index * size + at[name]!;
      parts *= size;
    }
    const local = extent / parts;
    return [index * local, local];
  });
}

/** Shape of one shard. */
export const localShape = (sharding: Sharding, shape: readonly number[]): number[] =>
  shardBox(sharding, shape, 0).map(([, extent]) => extent);
