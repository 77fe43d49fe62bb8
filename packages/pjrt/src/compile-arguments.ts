import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { PjrtApi } from './api';
import { type CompileOptions, encodeCompileOptions } from './compile-options';
import { invalid } from './errors';
import { nativeText } from './ffi/text';

/**
 * The arguments of PJRT_Client_Compile but the client: a program and its options, checked and in native memory, which `keep`
 * holds.
 *
 * @param cudaFolder where ptxas and libdevice are, as `cudaDataFolder` finds it
 */
export function compileArguments(
  api: PjrtApi,
  operation: string,
  program: string | Uint8Array,
  options: CompileOptions = {},
  cudaFolder?: string,
): { args: number[]; keep: unknown } {
  checkCompileOptions(operation, options);
  const { native } = api;
  if (typeof program !== 'string' && !(program instanceof Uint8Array)) {
    throw invalid(operation, 'the program must be text or the bytes of MLIR bytecode.');
  }
  const code = nativeText(native, program);
  if (code.length === 0) throw invalid(operation, 'the program is empty.');
  const format = nativeText(native, 'mlir');
  const encoded = Buffer.from(encodeCompileOptions(withCudaFolder(options, cudaFolder)));
  const description = api.words(6);
  const values = [48, 0, code.address, code.length, format.address, format.length];
  values.forEach((value, index) => {
    description.set(index, value);
  });
  return {
    args: [description.address, native.addressOf(encoded), encoded.length],
    keep: [code, format, encoded, description],
  };
}

/** Where the wheels beside a CUDA plugin keep ptxas and libdevice; XLA looks in /usr/local/cuda of its own accord. */
export function cudaDataFolder(plugin: string): string | undefined {
  const packages = join(dirname(plugin), '..', '..', 'nvidia');
  return [join(packages, 'cu13'), join(packages, 'cuda_nvcc')].find((folder) => existsSync(folder));
}

const withCudaFolder = (options: CompileOptions, folder: string | undefined): CompileOptions =>
  folder === undefined
    ? options
    : { ...options, debugOptions: { xla_gpu_cuda_data_dir: folder, ...options.debugOptions } };

function checkCompileOptions(operation: string, options: CompileOptions): void {
  const { numReplicas = 1, numPartitions = 1, deviceAssignment } = options;
  for (const [name, value] of Object.entries({ numReplicas, numPartitions })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw invalid(operation, `${name} must be a whole number of at least 1, got ${value}.`);
    }
  }
  if (deviceAssignment === undefined) return;
  const fits =
    deviceAssignment.length === numReplicas && deviceAssignment.every((row) => row.length === numPartitions);
  if (!fits) {
    throw invalid(
      operation,
      `deviceAssignment must be ${numReplicas} replica(s) of ${numPartitions} partition(s) each.`,
    );
  }
}
