/** The devices of a mesh, and which of them this process has. */
import type { PjrtDevice } from '@flow-grpo/pjrt';
import type { Mesh } from '@flow-grpo/tfjs-jit/backend';
import { client } from '../runtime/client';

/** All devices of a mesh, in its order. */
export function meshDevices({ size, local }: Mesh): readonly PjrtDevice[] {
  const { devices, allDevices } = client();
  return (local ? devices : allDevices).slice(0, size);
}

/** The numbers in the mesh of this process's devices: data laid out over the mesh has a buffer for each of these. */
export function localPositions(mesh: Mesh): readonly number[] {
  return meshDevices(mesh).flatMap(({ isLocal }, position) => (isLocal ? [position] : []));
}

/** This process's devices of a mesh. */
export const localDevices = (mesh: Mesh): readonly PjrtDevice[] =>
  meshDevices(mesh).filter(({ isLocal }) => isLocal);
