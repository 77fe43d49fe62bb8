import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ELEMENT_TYPES, elementBytes } from '../src/element-types';
import type { PjrtBuffer, PjrtClient } from '../src/index';
import { addProgram, cpuClient, f32, numbers, program } from './plugin';

let client: PjrtClient;
beforeAll(async () => {
  client = await cpuClient(2);
});
afterAll(() => client.dispose());
afterEach(() => expect(client.liveBuffers).toBe(0));

describe('transfers', () => {
  it('bring every element type there and back, bit for bit', async () => {
    for (const type of ELEMENT_TYPES) {
      const bytes = Uint8Array.from({ length: 6 * elementBytes(type) }, (_, i) =>
        type === 'i1' ? i % 2 : i * 7,
      );
      const buffer = client.bufferFromHost(bytes, type, [2, 3]);
      expect(buffer.byteSize).toBe(bytes.length);
      expect(await buffer.toHost()).toEqual(bytes);
      expect(buffer.toHostSync()).toEqual(bytes);
      buffer.dispose();
    }
  });

  it('hold for any shape and values', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
        fc.boolean(),
        async (dims, asynchronous) => {
          const data = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));
          const buffer = asynchronous
            ? await client.bufferFromHostAsync(data, 'f32', dims)
            : client.bufferFromHost(data, 'f32', dims);
          const back = new Float32Array((await buffer.toHost()).buffer);
          buffer.dispose();
          expect(back).toEqual(data);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('read the data before bufferFromHost returns, whatever its size', () => {
    for (const length of [4, 1 << 20]) {
      const data = new Float32Array(length).fill(3);
      const buffer = client.bufferFromHost(data, 'f32', [length]);
      data.fill(-1);
      expect(new Float32Array(buffer.toHostSync().buffer).every((value) => value === 3)).toBe(true);
      buffer.dispose();
    }
  });

  it('take views into larger arrays and write into a given target', async () => {
    const whole = Float32Array.from({ length: 10 }, (_, i) => i);
    const buffer = client.bufferFromHost(whole.subarray(3, 7), 'f32', [4]);
    const target = new Float32Array(6);
    await buffer.toHost(target.subarray(1, 5));
    expect([...target]).toEqual([0, 3, 4, 5, 6, 0]);
    await expect(buffer.toHost(target)).rejects.toThrow(/16 bytes, the target 24/);
    buffer.dispose();
  });

  it('survive many readers at once', async () => {
    const buffers = Array.from({ length: 600 }, (_, i) => f32(client, [i, i + 1]));
    const read = await Promise.all(buffers.map((buffer) => buffer.toHost()));
    read.forEach((bytes, i) => {
      expect([...new Float32Array(bytes.buffer)]).toEqual([i, i + 1]);
    });
    for (const buffer of buffers) buffer.dispose();
  });

  it('copy between devices', () => {
    const buffer = f32(client, [1, 2, 3]);
    const copy = buffer.copyToDevice(client.devices[1]!);
    expect(copy.device).toBe(client.devices[1]);
    expect(numbers(copy)).toEqual([1, 2, 3]);
    expect(() => buffer.copyToDevice(client.devices[0]!)).toThrow(/already/);
    buffer.dispose();
    copy.dispose();
  });
});

describe('misuse never reaches XLA', () => {
  it('names bytes, dims and types that do not fit', () => {
    expect(() => client.bufferFromHost(new Float32Array(3), 'f32', [4])).toThrow(
      /f32\[4\] takes 16 bytes.*has 12/,
    );
    expect(() => client.bufferFromHost(new Float32Array(1), 'f32', [-1])).toThrow(/dims/);
    expect(() => client.bufferFromHost(new Float32Array(1), 'f33' as 'f32', [1])).toThrow(/f33/);
  });

  it('refuses a disposed buffer, also twice', () => {
    const buffer = f32(client, [1]);
    buffer.dispose();
    buffer.dispose();
    expect(() => buffer.toHostSync()).toThrow(/toHostSync: PjrtBuffer\(f32\[1\].*disposed/);
    expect(() => buffer.readySync()).toThrow(/disposed/);
    expect(() => buffer.copyToDevice(client.devices[1]!)).toThrow(/disposed/);
    expect(() => buffer.onDeviceBytes()).toThrow(/disposed/);
  });

  it('refuses arguments that the program does not take', () => {
    const executable = client.compileSync(addProgram(2));
    const good = f32(client, [1, 2]);
    const long = f32(client, [1, 2, 3]);
    const elsewhere = f32(client, [1, 2], client.devices[1]);
    const integers = client.bufferFromHost(new Int32Array(2), 'i32', [2]);
    const gone = f32(client, [1, 2]);
    gone.dispose();
    expect(() => executable.execute([[good]])).toThrow(/takes 2 argument\(s\); got 1/);
    expect(() => executable.execute([])).toThrow(/1 argument list/);
    expect(() => executable.execute([[good, long]])).toThrow(/argument 1 is f32\[3\].*takes f32\[2\]/);
    expect(() => executable.execute([[integers, good]])).toThrow(/argument 0 is i32\[2\].*takes f32\[2\]/);
    expect(() => executable.execute([[good, elsewhere]])).toThrow(/must be on/);
    expect(() => executable.execute([[gone, good]])).toThrow(/argument 0.*disposed/);
    expect(() => executable.execute([[good, good]], { nonDonatable: [2] })).toThrow(/nonDonatable/);
    for (const each of [good, long, elsewhere, integers, executable]) each.dispose();
  });
});

describe('donation', () => {
  const doubling = program(
    '(%x: tensor<4xf32> {tf.aliasing_output = 0 : i32}) -> tensor<4xf32>',
    '%0 = stablehlo.add %x, %x : tensor<4xf32>\nreturn %0 : tensor<4xf32>',
  );

  it('deletes the argument, and its later use is an error of XLA', () => {
    const executable = client.compileSync(doubling);
    const input = f32(client, [1, 2, 3, 4]);
    const [[output]] = executable.execute([[input]]) as [[PjrtBuffer]];
    expect(numbers(output)).toEqual([2, 4, 6, 8]);
    expect(input.isDeleted).toBe(true);
    expect(input.isDisposed).toBe(false);
    expect(() => input.toHostSync()).toThrow(/deleted or donated/);
    expect(() => executable.execute([[input]])).toThrow(/deleted or donated/);
    for (const each of [input, output, executable]) each.dispose();
  });

  it('spares what is named nonDonatable', () => {
    const executable = client.compileSync(doubling);
    const input = f32(client, [1, 2, 3, 4]);
    const [[output]] = executable.execute([[input]], { nonDonatable: [0] }) as [[PjrtBuffer]];
    expect(numbers(output)).toEqual([2, 4, 6, 8]);
    expect(numbers(input)).toEqual([1, 2, 3, 4]);
    const [[second]] = executable.execute([[input]]) as [[PjrtBuffer]];
    expect(input.isDeleted).toBe(true);
    for (const each of [input, output, second, executable]) each.dispose();
  });
});

describe('lifetimes', () => {
  it('100,000 dispatches leave memory where it was', () => {
    const executable = client.compileSync(addProgram(256));
    const a = client.bufferFromHost(new Float32Array(256), 'f32', [256]);
    const dispatch = (count: number) => {
      for (let i = 0; i < count; i++) executable.execute([[a, a]])[0]![0]!.dispose();
    };
    dispatch(20_000);
    // Leaking only the results would be 100 MB, every time; what V8 or the allocator takes once is no leak.
    const limit = 20e6;
    let grown = Number.POSITIVE_INFINITY;
    for (let attempt = 0; attempt < 3 && grown >= limit; attempt++) {
      const before = process.memoryUsage().rss;
      dispatch(100_000);
      grown = process.memoryUsage().rss - before;
    }
    expect(grown).toBeLessThan(limit);
    a.dispose();
    executable.dispose();
  });
});
