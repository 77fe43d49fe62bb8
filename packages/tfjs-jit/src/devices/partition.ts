/** How a tensor is split over several devices. Plain data, so that copies of this package understand one another. */

/** A named arrangement of devices, for example `{ data: 2, model: 2 }`. */
export interface Mesh {
  /** Axis names and sizes, slowest first. */
  readonly axes: Readonly<Record<string, number>>;
  /** Number of devices. */
  readonly size: number;
  /** Whether the devices are those of this process alone, where several share a run. */
  readonly local?: true;
}

/** For each axis of a tensor: the mesh axis (or axes) that it is split over, or null. Missing axes are not split. */
export type PartitionSpec = readonly (string | readonly string[] | null)[];

/** Mesh axes, one or several. */
export type MeshAxes = string | readonly string[];

/** A spec with one entry per axis of the tensor it is for: the names of the mesh axes that split it. */
export interface Sharding {
  readonly mesh: Mesh;
  readonly spec: readonly (readonly string[])[];
}

/** Equal for equal meshes: `data=2,model=2`. */
export const meshKey = ({ axes, local }: Mesh): string =>
  `${local ? 'local ' : ''}${Object.entries(axes)
    .map(([name, size]) => `${name}=${size}`)
    .join(',')}`;

/** One or several names, or null, as a list. */
export const axisNames = (entry: MeshAxes | null): string[] =>
  entry === null ? [] : typeof entry === 'string' ? [entry] : [...entry];

/** Size of a mesh axis. */
export function axisSize(mesh: Mesh, name: string, operation: string): number {
  const size = mesh.axes[name];
  if (size === undefined) throw new Error(`${operation}: the mesh ${meshKey(mesh)} has no axis "${name}"`);
  return size;
}

/**
 * Checks a spec against a shape.
 *
 * @throws when the spec is longer than the shape, names an axis twice or one that the mesh lacks, or does not divide evenly.
 */
export function sharding(mesh: Mesh, spec: PartitionSpec, shape: readonly number[]): Sharding {
  if (spec.length > shape.length) {
    throw new Error(`sharding [${spec}] has more axes than the tensor [${shape}]`);
  }
  const used = new Set<string>();
  const full = shape.map((extent, i) => {
    const names = axisNames(spec[i] ?? null);
    let parts = 1;
    for (const name of names) {
      const size = axisSize(mesh, name, 'sharding');
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

/** The whole tensor on every device. */
export const replicated = (mesh: Mesh, shape: readonly number[]): Sharding => ({
  mesh,
  spec: shape.map(() => []),
});

/** Whether every device holds the whole tensor. */
export const isReplicated = ({ spec }: Sharding): boolean => spec.every((names) => names.length === 0);

/**
 * A spec that stores 1/N of a tensor of this shape on each of N devices: the longest axis that divides evenly is split.
 *
 * @param along Mesh axes to split over; all of them by default.
 * @param from First axis that may be split: 1 keeps the leading axis of stacked layers whole, so that `scan` takes
 * slices of it without moving anything.
 * @returns [] (the whole tensor on every device) where no axis divides evenly.
 * @throws when the mesh lacks an axis of `along`.
 */
export function evenSpec(
  shape: readonly number[],
  mesh: Mesh,
  along: MeshAxes = Object.keys(mesh.axes),
  from = 0,
): PartitionSpec {
  const names = axisNames(along);
  const parts = names.reduce((product, name) => product * axisSize(mesh, name, 'evenSpec'), 1);
  let best = -1;
  for (let axis = from; axis < shape.length; axis++) {
    const extent = shape[axis]!;
    if (extent > 0 && extent % parts === 0 && (best < 0 || extent > shape[best]!)) best = axis;
  }
  return best < 0 || parts === 1 ? [] : [...new Array<null>(best).fill(null), names];
}
