/** What a compiled program needs, by XLA's account. */
import type { PjrtExecutable } from '@flow-grpo/pjrt';
import type { Cost, Mesh } from '@flow-grpo/tfjs-jit/backend';

/**
 * @param flops of the program as it was traced, all devices together
 * @param mesh that it is partitioned over
 */
export function costOf(compiled: PjrtExecutable, flops: number, mesh: Mesh | undefined): Cost {
  const costs = compiled.costAnalysis();
  const memory = compiled.memoryStats();
  return {
    flops,
    xlaFlops: costs.flops,
    bytesAccessed: costs['bytes accessed'],
    argumentBytes: memory?.arguments ?? 0,
    outputBytes: memory?.outputs ?? 0,
    aliasedBytes: memory?.aliased ?? 0,
    temporaryBytes: memory?.temporaries ?? 0,
    collectives: mesh ? compiled.collectives() : [],
  };
}
