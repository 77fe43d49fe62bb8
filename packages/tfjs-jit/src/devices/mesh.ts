import { requireCompiler } from '../compiler';
import { type Mesh, meshKey } from './partition';

/**
 * A mesh over the first devices; the first axis is the slowest. Where several processes share a run the devices are those of
 * all of them, process by process, and a mesh takes all: every process then runs the same programs in the same order.
 *
 * @throws when there are fewer devices than the axes need, or more processes than have part in it, and where there is no
 *   compiler.
 */
export function mesh(axes: Readonly<Record<string, number>>): Mesh {
  for (const [name, size] of Object.entries(axes)) {
    if (!/^[A-Za-z_]\w*$/.test(name)) throw new Error(`mesh: axis name "${name}" must be an identifier`);
    if (!Number.isInteger(size) || size < 1) throw new Error(`mesh: axis ${name} has size ${size}`);
  }
  const size = Object.values(axes).reduce((product, extent) => product * extent, 1);
  const made: Mesh = { axes: { ...axes }, size };
  const compiler = requireCompiler('mesh: several devices need');
  const devices = compiler.deviceInfo();
  const available = devices.length;
  if (size > available) {
    throw new Error(
      `mesh: ${meshKey(made)} needs ${size} devices, there are ${available}; ${compiler.moreDevices(size)}`,
    );
  }
  if (size < available && devices.some(({ isLocal }) => !isLocal)) {
    throw new Error(
      `mesh: ${meshKey(made)} takes ${size} of ${available} devices, which several processes share: take all of them`,
    );
  }
  return made;
}
