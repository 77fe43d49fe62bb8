/** Attention on several devices, where XLA cannot partition the custom calls: each takes its part of the batch. */
import { type Mesh, sharding } from '@flow-grpo/tfjs-jit/backend';
import { localShape, shardingText } from '../../parallel/sharding';
import { type Block, hlo, type TensorType, type Value } from '../../stablehlo';

/** The mesh that a program is partitioned over, and the axes of it that split the batch. */
export interface BatchSplit {
  readonly mesh: Mesh;
  readonly axes: readonly string[];
}

/** The first axes of the mesh, as many as divide the batch: data-parallel programs lie so. */
export function batchSplit(mesh: Mesh | undefined, batch: number): BatchSplit | undefined {
  const axes: string[] = [];
  let parts = 1;
  for (const [name, size] of Object.entries(mesh?.axes ?? {})) {
    if (size === 1) continue;
    parts *= size;
    if (batch % parts !== 0) break;
    axes.push(name);
  }
  return mesh && axes.length > 0 ? { mesh, axes } : undefined;
}

/** Runs `body` on each device's part of the batch, the leading axis of every input and result. */
export function perDevice<Name extends string>(
  b: Block,
  inputs: Readonly<Partial<Record<Name, Value>>>,
  split: BatchSplit | undefined,
  body: (inner: Block, parts: Partial<Record<Name, Value>>) => Value[],
): Value[] {
  if (!split) return body(b, inputs);
  const { mesh, axes } = split;
  const devices = axes.reduce((product, name) => product * mesh.axes[name]!, 1);
  const entries = Object.entries(inputs).filter((entry): entry is [Name, Value] => entry[1] !== undefined);
  const layout = ({ shape }: TensorType) => sharding(mesh, [axes], shape);
  return hlo.manualComputation(
    b,
    entries.map(([, value]) => ({
      value,
      local: {
        type: { shape: localShape(layout(value), value.shape), dtype: value.dtype },
        sharding: shardingText(layout(value)),
      },
    })),
    { axes: Object.keys(mesh.axes), devices },
    (inner, parts) =>
      body(inner, Object.fromEntries(entries.map(([name], i) => [name, parts[i]!])) as typeof inputs),
    (locals) =>
      locals.map(({ shape: [rows, ...rest], dtype }) => {
        const type = { shape: [rows! * devices, ...rest], dtype };
        return { type, sharding: shardingText(layout(type)) };
      }),
  );
}
