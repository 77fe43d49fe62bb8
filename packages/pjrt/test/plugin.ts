import { createClient, type PjrtBuffer, type PjrtClient } from '../src/index';

/** A client on the CPU plugin that discovery finds, with `devices` virtual devices. */
export const cpuClient = (devices = 1): Promise<PjrtClient> =>
  createClient({ platform: 'cpu', options: { cpu_device_count: devices } });

/** A module whose `main` has this signature and body. */
export const program = (signature: string, body: string, attributes = ''): string =>
  `module ${attributes} { func.func @main${signature} {\n${body}\n} }`;

/** Adds two f32 vectors. */
export const addProgram = (length: number): string => {
  const type = `tensor<${length}xf32>`;
  return program(
    `(%a: ${type}, %b: ${type}) -> ${type}`,
    `%0 = stablehlo.add %a, %b : ${type}\nreturn %0 : ${type}`,
  );
};

export const f32 = (
  client: PjrtClient,
  values: number[],
  device?: PjrtClient['devices'][number],
): PjrtBuffer => client.bufferFromHost(Float32Array.from(values), 'f32', [values.length], device);

export const numbers = (buffer: PjrtBuffer): number[] => [...new Float32Array(buffer.toHostSync().buffer)];

/** A chain of matrix products that takes XLA a noticeable time to run. */
export const slowProgram = (size: number, products: number): string => {
  const type = `tensor<${size}x${size}xf32>`;
  const lines = Array.from(
    { length: products },
    (_, i) =>
      `%${i + 1} = stablehlo.dot_general ${i === 0 ? '%a' : `%${i}`}, %a, contracting_dims = [1] x [0] : (${type}, ${type}) -> ${type}`,
  );
  return program(`(%a: ${type}) -> ${type}`, `${lines.join('\n')}\nreturn %${products} : ${type}`);
};

/** A chain of element-wise operations: XLA takes milliseconds to compile each. */
export const longProgram = (operations: number): string => {
  const type = 'tensor<64x64xf32>';
  const lines = Array.from({ length: operations }, (_, i) => {
    const operation = ['tanh', 'sine', 'exponential'][i % 3];
    return `%${i + 1} = stablehlo.${operation} ${i === 0 ? '%a' : `%${i}`} : ${type}`;
  });
  return program(`(%a: ${type}) -> ${type}`, `${lines.join('\n')}\nreturn %${operations} : ${type}`);
};
