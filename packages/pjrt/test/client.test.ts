import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createClient,
  type PjrtBuffer,
  type PjrtClient,
  PjrtError,
  PjrtOutOfMemoryError,
} from '../src/index';
import { addProgram, cpuClient, f32, longProgram, numbers, program, slowProgram } from './plugin';

let client: PjrtClient;
beforeAll(async () => {
  client = await cpuClient();
});
afterAll(() => client.dispose());

/** How often the event loop turns while `work` is under way: a few times where it is blocked in between. */
async function turns<T>(work: () => Promise<T>): Promise<{ value: T; turns: number }> {
  let count = 0;
  let done = false;
  const turn = () => {
    count++;
    if (!done) setImmediate(turn);
  };
  setImmediate(turn);
  const value = await work();
  done = true;
  return { value, turns: count };
}

/** More turns than a blocked loop takes, and far fewer than a free one. */
const MANY = 10;

describe('a client', () => {
  it('names its platform, plugin and devices', () => {
    expect(client.platformName).toBe('cpu');
    expect(client.apiVersion.major).toBe(0);
    expect(client.devices).toHaveLength(1);
    expect(client.devices[0]!.kind).toBe('cpu');
    expect(client.device(0)).toBe(client.devices[0]);
    expect(() => client.device(7)).toThrow(/no device 7; there are 0/);
  });

  it('compiles without blocking the event loop', async () => {
    const text = longProgram(400);
    const compiled = await turns(() => client.compile(text));
    compiled.value.dispose();
    expect(compiled.turns).toBeGreaterThan(MANY);
    // The other way of compiling shows what a blocked loop is.
    const blocked = await turns(async () => client.compileSync(text));
    blocked.value.dispose();
    expect(blocked.turns).toBeLessThan(MANY);
  });

  it('waits for a result without blocking the event loop', async () => {
    const executable = await client.compile(slowProgram(512, 60));
    const a = client.bufferFromHost(new Float32Array(512 * 512), 'f32', [512, 512]);
    const run = (read: (result: PjrtBuffer) => unknown) =>
      turns(async () => {
        const [[result]] = executable.execute([[a]]) as [[PjrtBuffer]];
        await read(result);
        result.dispose();
      });
    expect((await run((result) => result.toHost())).turns).toBeGreaterThan(MANY);
    expect((await run((result) => result.toHostSync())).turns).toBeLessThan(MANY);
    a.dispose();
    executable.dispose();
  });

  it('passes on what XLA says of a bad program', async () => {
    await expect(client.compile('module {')).rejects.toThrow(
      /PjrtClient.compile: .*expected operation name/s,
    );
    const error = (() => {
      try {
        client.compileSync('module {');
      } catch (failure) {
        return failure;
      }
    })();
    expect(error).toBeInstanceOf(PjrtError);
    expect((error as PjrtError).operation).toBe('PjrtClient.compileSync');
    expect((error as PjrtError).code).toBe('UNKNOWN');
  });

  it('parses deeply nested programs on its worker threads', async () => {
    const type = 'tensor<2xf32>';
    let body = `%x = stablehlo.tanh %a : ${type}\nstablehlo.return %x : ${type}`;
    for (let depth = 0; depth < 60; depth++) {
      body = `%c${depth} = stablehlo.constant dense<0> : tensor<i32>
        %r${depth} = "stablehlo.case"(%c${depth}) ({ ${body} }, { stablehlo.return %a : ${type} }) : (tensor<i32>) -> ${type}
        stablehlo.return %r${depth} : ${type}`;
    }
    const text = program(
      `(%a: ${type}) -> ${type}`,
      body.replace(/stablehlo\.return ([^\n]*)$/, 'return $1'),
    );
    (await client.compile(text)).dispose();
  });

  it('refuses bad compile options before XLA sees them', () => {
    expect(() => client.compileSync(addProgram(2), { numReplicas: 0 })).toThrow(/numReplicas/);
    expect(() => client.compileSync(addProgram(2), { deviceAssignment: [[0], [1]] })).toThrow(
      /deviceAssignment/,
    );
    expect(() => client.compileSync('')).toThrow(/empty/);
    expect(() => client.compileSync(addProgram(2), { debugOptions: { no_such_flag: true } })).toThrow(
      /no_such_flag/,
    );
  });

  it('takes XLA flags', () => {
    client.compileSync(addProgram(2), { debugOptions: { xla_cpu_enable_fast_math: false } }).dispose();
  });

  it('ends: everything on it is freed and later use is an error', async () => {
    const other = await cpuClient();
    const buffer = f32(other, [1, 2]);
    const executable = other.compileSync(addProgram(2));
    const pending = buffer.ready();
    await pending;
    other.dispose();
    other.dispose();
    buffer.dispose();
    executable.dispose();
    expect(buffer.isDeleted).toBe(true);
    expect(() => buffer.toHostSync()).toThrow(/disposed/);
    expect(() => executable.execute([[buffer, buffer]])).toThrow(/disposed/);
    expect(() => f32(other, [1])).toThrow(/client has been disposed/);
    expect(() => other.compileSync(addProgram(2))).toThrow(/client has been disposed/);
  });

  it('ends after the programs that run, whose results and executables are gone already', async () => {
    const other = await cpuClient();
    const size = 256;
    const input = other.bufferFromHost(new Float32Array(size * size).fill(1e-3), 'f32', [size, size]);
    const executable = other.compileSync(slowProgram(size, 40));
    for (let i = 0; i < 10; i++) executable.execute([[input]])[0]![0]!.dispose();
    executable.dispose();
    other.dispose();
    expect(other.isDisposed).toBe(true);
  });

  it('does not end while a compilation is under way', async () => {
    const other = await cpuClient();
    const compiling = other.compile(addProgram(3));
    expect(() => other.dispose()).toThrow(/1 asynchronous call/);
    await compiling;
    other.dispose();
  });

  it('says which options the plugin refused', async () => {
    await expect(createClient({ platform: 'cpu', options: { cpu_device_count: 'many' } })).rejects.toThrow(
      /createClient: .*cpu_device_count/s,
    );
  });
});

describe('a program', () => {
  it('keeps working after being serialized', () => {
    const executable = client.compileSync(addProgram(2));
    const bytes = executable.serialize();
    executable.dispose();
    const again = client.deserialize(bytes);
    const [a, b] = [f32(client, [1, 2]), f32(client, [10, 20])];
    const [[sum]] = again.execute([[a, b]]) as [[PjrtBuffer]];
    expect(numbers(sum)).toEqual([11, 22]);
    for (const each of [a, b, sum, again]) each.dispose();
  });

  it('is not loaded from bytes that are none', () => {
    expect(() => client.deserialize(new TextEncoder().encode('nonsense'))).toThrow(PjrtError);
    expect(() => client.deserialize(new Uint8Array())).toThrow(/no bytes/);
  });

  it('reports shapes, memory and a fingerprint', () => {
    const executable = client.compileSync(addProgram(4));
    const shape = { elementType: 'f32', dims: [4] };
    expect(executable.signature).toEqual({ parameters: [shape, shape], results: [shape] });
    expect(executable.memoryStats()).toMatchObject({ arguments: 32, outputs: 16 });
    expect(executable.optimizedProgram().bytes.length).toBeGreaterThan(0);
    expect(executable.fingerprint()).toBeTypeOf('string');
    expect(Object.values(executable.costAnalysis()).every(Number.isFinite)).toBe(true);
    executable.dispose();
    executable.dispose();
    expect(() => executable.serialize()).toThrow(/disposed/);
  });
});

describe('no memory left', () => {
  it('is an error with the bytes asked for and free', async () => {
    const n = 2 ** 21;
    const huge = client.compileSync(
      program(
        `(%a: tensor<f32>) -> tensor<${n}x${n}xf32>`,
        `%0 = stablehlo.broadcast_in_dim %a, dims = [] : (tensor<f32>) -> tensor<${n}x${n}xf32>
        return %0 : tensor<${n}x${n}xf32>`,
      ),
    );
    const scalar = client.bufferFromHost(Float32Array.of(1), 'f32', []);
    /** The call fails where the device is free, and the result where work is queued before it. */
    const run = async () => {
      const [[result]] = huge.execute([[scalar]]) as [[PjrtBuffer]];
      await result.ready().finally(() => result.dispose());
    };
    await expect(run()).rejects.toThrow(PjrtOutOfMemoryError);
    await expect(run()).rejects.toThrow(/asked for 16\.0 TiB, .* of .* free on CpuDevice/);
    await expect(run()).rejects.toMatchObject({
      requestedBytes: 4 * n * n,
      operation: expect.stringMatching(/^Pjrt(?:Executable\.execute|Buffer\.ready)$/),
      freeBytes: expect.toSatisfy((bytes: number) => bytes > 0),
    });
    huge.dispose();
    scalar.dispose();
  });
});
