import { describe, expect, it } from 'vitest';
import type { PjrtBuffer } from '../src/index';
import { cpuClient, f32, numbers, program } from './plugin';

const allReduce = (devices: number) =>
  program(
    '(%a: tensor<4xf32>) -> tensor<4xf32>',
    `%0 = "stablehlo.all_reduce"(%a) ({
      ^bb0(%x: tensor<f32>, %y: tensor<f32>):
        %s = stablehlo.add %x, %y : tensor<f32>
        stablehlo.return %s : tensor<f32>
    }) {replica_groups = dense<[[${[...Array(devices).keys()]}]]> : tensor<1x${devices}xi64>,
        channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>, use_global_device_ids}
      : (tensor<4xf32>) -> tensor<4xf32>
    return %0 : tensor<4xf32>`,
    `attributes {mhlo.num_replicas = ${devices} : i32}`,
  );

describe.each([2, 4])('%i virtual devices', (count) => {
  it('reduce over replicas', async () => {
    const client = await cpuClient(count);
    expect(client.devices).toHaveLength(count);
    const executable = await client.compile(allReduce(count), { numReplicas: count });
    expect(executable.devices).toEqual(client.devices);
    const args = client.devices.map((device, i) => [f32(client, [i, 1, 2, 3], device)]);
    const results = executable.execute(args).map(([each]) => numbers(each!));
    const sum = (count * (count - 1)) / 2;
    for (const each of results) expect(each).toEqual([sum, count, 2 * count, 3 * count]);
    expect(() => executable.execute([args[0]!])).toThrow(/one per device; got 1/);
    client.dispose();
  });

  it('run a program that XLA partitions', async () => {
    const client = await cpuClient(count);
    const type = `tensor<${2 * count}x3xf32>`;
    const text = `module {
      sdy.mesh @mesh = <["data"=${count}]>
      func.func @main(%x: ${type} {sdy.sharding = #sdy.sharding<@mesh, [{"data"}, {}]>})
          -> (tensor<3xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}) {
        %z = stablehlo.constant dense<0.0> : tensor<f32>
        %0 = stablehlo.reduce(%x init: %z) applies stablehlo.add across dimensions = [0] : (${type}, tensor<f32>) -> tensor<3xf32>
        return %0 : tensor<3xf32>
      }
    }`;
    const executable = await client.compile(text, { numPartitions: count });
    expect(executable.signature.parameters).toEqual([{ elementType: 'f32', dims: [2, 3] }]);
    const args = client.devices.map((device, i) => [
      client.bufferFromHost(new Float32Array(6).fill(i + 1), 'f32', [2, 3], device),
    ]);
    const total = count * (count + 1);
    for (const [each] of executable.execute(args)) expect(numbers(each!)).toEqual([total, total, total]);
    client.dispose();
  });

  it('follow a device assignment, and share a portable program', async () => {
    const client = await cpuClient(count);
    const last = client.devices[count - 1]!;
    const text = program(
      '(%a: tensor<2xf32>) -> tensor<2xf32>',
      '%0 = stablehlo.negate %a : tensor<2xf32>\nreturn %0 : tensor<2xf32>',
    );
    const assigned = client.compileSync(text, { deviceAssignment: [[last.id]] });
    expect(assigned.devices).toEqual([last]);
    expect(() => assigned.execute([[f32(client, [1, 2])]])).toThrow(/must be on/);
    const portable = client.compileSync(text, { portable: true });
    for (const device of client.devices) {
      const [[result]] = portable.execute([[f32(client, [1, 2], device)]]) as [[PjrtBuffer]];
      expect(result.device).toBe(device);
      expect(numbers(result)).toEqual([-1, -2]);
    }
    client.dispose();
  });
});
