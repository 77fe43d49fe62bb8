/** Programs that are handed over on another thread. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { PjrtBuffer, PjrtClient } from '../src/index';
import { addProgram, cpuClient, f32, numbers, program } from './plugin';

let client: PjrtClient;
beforeAll(async () => {
  client = await cpuClient();
});
afterAll(() => client.dispose());
afterEach(() => expect([client.liveBuffers, client.api.pendingCalls]).toEqual([0, 0]));

/** The result of a program that has one, on one device. */
const only = (rows: PjrtBuffer[][]) => rows[0]![0]!;

it('give what they give otherwise, several at a time, in any order', async () => {
  const add = await client.compile(addProgram(2));
  const rows = Array.from({ length: 20 }, (_, i) => [f32(client, [i, 1]), f32(client, [1, i])]);
  const made = await Promise.all(rows.map((row) => add.executeAsync([row])));
  const sum = only(add.execute([made.slice(3, 5).map(only)]));
  expect(numbers(sum)).toEqual([9, 9]);
  expect(made.map((each) => numbers(only(each)))).toEqual(rows.map((_, i) => [i + 1, i + 1]));
  for (const buffer of [sum, ...rows.flat(), ...made.flat(2)]) buffer.dispose();
  add.dispose();
});

it('keep arguments that are disposed of meanwhile, and the program', async () => {
  const add = await client.compile(addProgram(2));
  const row = [f32(client, [1, 2]), f32(client, [3, 4])];
  const promise = add.executeAsync([row]);
  for (const buffer of row) buffer.dispose();
  expect(row.map(({ isDisposed }) => isDisposed)).toEqual([true, true]);
  expect([client.liveBuffers, add.isRunning]).toEqual([2, true]);
  expect(() => client.dispose()).toThrow(/still running/);
  add.dispose();
  const sum = only(await promise);
  expect(numbers(sum)).toEqual([4, 6]);
  sum.dispose();
  await expect(add.executeAsync([row])).rejects.toThrow(
    'PjrtExecutable.executeAsync: the executable has been disposed',
  );
});

it('refuse what does not fit, and name an argument whose memory was taken', async () => {
  const takes = program(
    '(%a: tensor<2xf32> {tf.aliasing_output = 0 : i32}) -> tensor<2xf32>',
    '%0 = stablehlo.add %a, %a : tensor<2xf32>\nreturn %0 : tensor<2xf32>',
  );
  const twice = await client.compile(takes);
  const a = f32(client, [1, 2]);
  await expect(twice.executeAsync([[a, a]])).rejects.toThrow('takes 1 argument(s); got 2');
  await expect(twice.executeAsync([[a], [a]])).rejects.toThrow('takes 1 argument list(s)');
  const b = only(await twice.executeAsync([[a]]));
  expect([a.isDeleted, numbers(b)]).toEqual([true, [2, 4]]);
  await expect(twice.executeAsync([[a]])).rejects.toThrow(/argument 0, .*was deleted or donated/);
  a.dispose();
  b.dispose();
  twice.dispose();
});

it('keep their arguments from programs that would take the memory meanwhile', async () => {
  const add = await client.compile(addProgram(2));
  const doubles = program(
    '(%a: tensor<2xf32> {tf.aliasing_output = 0 : i32}) -> tensor<2xf32>',
    '%0 = stablehlo.add %a, %a : tensor<2xf32>\nreturn %0 : tensor<2xf32>',
  );
  const twice = await client.compile(doubles);
  for (let i = 0; i < 50; i++) {
    const [a, b] = [f32(client, [1, 2]), f32(client, [3, 4])];
    const handedOver = add.executeAsync([[a, b]]);
    const doubled = only(twice.execute([[a]]));
    const sum = only(await handedOver);
    expect([...numbers(sum), ...numbers(doubled)]).toEqual([4, 6, 2, 4]);
    for (const each of [a, b, sum, doubled]) each.dispose();
  }
  add.dispose();
  twice.dispose();
});

it('refuse clients of several devices', async () => {
  const two = await cpuClient(2);
  const add = await two.compile(addProgram(1), { portable: true });
  await expect(add.executeAsync([[f32(two, [1]), f32(two, [1])]])).rejects.toThrow(
    'has 2 devices; use execute',
  );
  two.dispose();
});
