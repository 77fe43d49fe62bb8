/** A run in which XLA could not record a CUDA graph, because another program was being compiled: the CPU plugin stands in. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type PjrtBuffer, type PjrtClient, PjrtError, type PjrtExecutable } from '../src/index';
import { addProgram, cpuClient, f32, longProgram, numbers, program } from './plugin';

let client: PjrtClient;
let add: PjrtExecutable;
beforeAll(async () => {
  client = await cpuClient();
});
beforeEach(async () => {
  add = await client.compile(addProgram(2));
});
afterAll(() => client.dispose());

/** Has the program's next runs fail; the function tells how often it was run. */
function fails(times: number, words: string, meanwhile: () => void = () => {}): () => number {
  const run = Reflect.get(add, 'run') as (frame: number) => number;
  let runs = 0;
  const failing = (frame: number) => {
    if (runs++ >= times) return run(frame);
    meanwhile();
    throw new PjrtError('PjrtExecutable.execute', 'INTERNAL', words);
  };
  const failingAsync = (frame: number, done: (error: unknown, result: number) => void) => {
    try {
      done(undefined, failing(frame));
    } catch (error) {
      done(error, 0);
    }
  };
  Object.assign(add, { run: Object.assign(failing, { async: failingAsync }) });
  return () => runs;
}

const CAPTURE =
  '[0] There was an error before calling cuModuleGetFunction (901): cudaErrorStreamCaptureInvalidated : operation failed due to a previous error during capture';
const given = (): [PjrtBuffer, PjrtBuffer] => [f32(client, [1, 2]), f32(client, [3, 4])];
const execute = (args: PjrtBuffer[]) => numbers(add.execute([args])[0]![0]!);

it('is repeated once no program is being compiled', async () => {
  const compiling = client.compile(longProgram(300));
  const runs = fails(1, CAPTURE, () => expect(client.api.pendingCalls).toBe(1));
  expect(execute(given())).toEqual([4, 6]);
  expect(runs()).toBe(2);
  expect(client.api.pendingCalls).toBe(0);
  (await compiling).dispose();
});

it('is an error when it fails again, and where it failed for another reason', () => {
  let runs = fails(2, CAPTURE);
  expect(() => execute(given())).toThrow(CAPTURE);
  expect(runs()).toBe(2);
  runs = fails(1, 'cudaErrorIllegalAddress');
  expect(() => execute(given())).toThrow('cudaErrorIllegalAddress');
  expect(runs()).toBe(1);
});

it('is repeated too where it was handed over on another thread, whatever has become of its arguments', async () => {
  const runs = fails(1, CAPTURE);
  const args = given();
  const sum = add.executeAsync([args]);
  for (const each of args) each.dispose();
  expect(numbers((await sum)[0]![0]!)).toEqual([4, 6]);
  expect(runs()).toBe(2);
});

it('is not repeated where it writes to memory of its arguments, which it may have done', async () => {
  add = await client.compile(
    program(
      '(%a: tensor<2xf32> {tf.aliasing_output = 0 : i32}, %b: tensor<2xf32>) -> tensor<2xf32>',
      '%0 = stablehlo.add %a, %b : tensor<2xf32> return %0 : tensor<2xf32>',
    ),
  );
  const runs = fails(1, CAPTURE);
  expect(() => execute(given())).toThrow(CAPTURE);
  expect(runs()).toBe(1);
});

it('is not repeated where other devices have begun to exchange values with it', async () => {
  const two = await cpuClient(2);
  try {
    add = await two.compile(addProgram(2), { portable: true });
    const runs = fails(1, CAPTURE);
    expect(() => add.execute([[f32(two, [1, 2]), f32(two, [3, 4])]])).toThrow(CAPTURE);
    expect(runs()).toBe(1);
  } finally {
    two.dispose();
  }
});
