/** How a tensor lies over several devices, as XLA is told it. */
import { type Mesh, meshKey, type Sharding } from '@flow-grpo/tfjs-jit/backend';

/** Equal for equal shardings. */
export const shardingKey = (sharding: Sharding): string =>
  `${meshKey(sharding.mesh)}:${sharding.spec.map((names) => names.join('+')).join('/')}`;

/** Shardy text: `<@mesh, [{"data"}, {}]>`. */
export const shardingText = ({ spec }: Sharding): string =>
  `<@mesh, [${spec.map((names) => `{${names.map((name) => `"${name}"`).join(', ')}}`).join(', ')}]>`;

/** Coordinates of a device along the axes of its mesh. */
export function coordinates({ axes }: Mesh, device: number): Record<string, number> {
  const at: Record<string, number> = {};
  let rest = device;
  for (const [name, size] of Object.entries(axes).reverse()) {
    at[name] = rest % size;
    rest = Math.floor(rest / size);
  }
  return at;
}

/** The part of a tensor that one device holds: for each axis its start and extent. */
export function shardBox(sharding: Sharding, shape: readonly number[], device: number): [number, number][] {
  const at = coordinates(sharding.mesh, device);
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
