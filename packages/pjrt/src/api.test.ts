import { expect, it } from 'vitest';
import { PjrtApi } from './api';
import { FUNCTION_ORDER } from './ffi/function-table';
import { loadNative } from './ffi/native';

/** A PJRT_Api in memory, as a plugin's GetPjrtApi would return it: header, version, and pointers that lead nowhere. */
async function read(major: number, minor: number, functions: number = FUNCTION_ORDER.length) {
  const native = await loadNative();
  const struct = new DataView(new ArrayBuffer(40 + 8 * functions));
  struct.setBigUint64(0, BigInt(struct.byteLength), true);
  struct.setInt32(32, major, true);
  struct.setInt32(36, minor, true);
  return PjrtApi.read(native, '/plugins/other.so', native.addressOf(struct));
}

it('takes version 0.81 of the C API and later ones', async () => {
  expect((await read(0, 81)).version).toEqual({ major: 0, minor: 81 });
  expect((await read(0, 999)).version).toEqual({ major: 0, minor: 999 });
});

it('refuses another major version, and one that is too old, by name', async () => {
  await expect(read(1, 0)).rejects.toThrow(/\/plugins\/other\.so.*1\.0/);
  await expect(read(0, 80)).rejects.toThrow(/\/plugins\/other\.so.*0\.80/);
});
