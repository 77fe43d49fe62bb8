import { requireCompiler } from '../compiler';
import { type Mesh, meshKey } from './partition';

/**
 * A mesh over the first devices of this process; the first axis is the slowest.
 *
 * @throws when there are fewer devices than the axes need, and where there is no compiler.
 */
export function mesh(axes: Readonly<Record<string, number>>): Mesh {
  for (const [name, size] of Object.entries(axes)) {
    if (!/^[A-Za-z_]\w*$/.test(name)) throw new Error(`mesh: axis name "${name}" must be an identifier`);
    if (!Number.isInteger(size) || size < 1) throw new Error(`mesh: axis ${name} has size ${size}`);
  }
  const size = Object.values(axes).reduce((product, extent) => product * extent, 1);
  const made: Mesh = { axes: { ...axes }, size };
  const compiler = requireCompiler('mesh: several devices need');
  const available = compiler.deviceInfo().length;
  if (size > available) {
    throw new Error(
      `mesh: ${meshKey(made)} needs ${size} devices, there are ${available}; ${compiler.moreDevices(size)}`,
    );
  }
  return made;
}
