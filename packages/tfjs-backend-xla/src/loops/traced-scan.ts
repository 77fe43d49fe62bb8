/** `scan` as a while loop of the program being traced, with its gradient. */
import {
  checkSameTensors,
  customVjp,
  flatten,
  isFloat,
  isRecording,
  type Sharding,
  type TreeDef,
  unflatten,
  vjp,
} from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from '../backend';
import { shardingText } from '../parallel/sharding';
import { type Block, type ElementType, hlo, type OpenRegion, type Value } from '../stablehlo';
import { currentFrame, perDeviceMesh } from '../trace/frame';
import { inBlock, tensorOf, tracedValue, withFreeTensors } from '../trace/values';
import { checkSameTypes } from './check';

interface Typed {
  readonly value: Value;
  readonly dtype: tf.DataType;
  readonly layout: Sharding | undefined;
}

/** A step on flat lists of tensors, and the structure of its `y`, known once it ran. */
interface Step {
  run(carry: readonly tf.Tensor[], x: readonly tf.Tensor[]): { carry: tf.Tensor[]; y: tf.Tensor[] };
  y: TreeDef | undefined;
  yTypes: tf.DataType[];
}

/** The loop's body, with what the step computes; the stacks that its results go to are still to be added. */
interface Body {
  readonly region: OpenRegion;
  readonly i: Value;
  readonly before: readonly Value[];
  readonly after: readonly Value[];
  readonly y: readonly Value[];
}

/** The steps whose `y`s are kept. */
type Kept = { readonly first: tf.Tensor; readonly count: number };

export function tracedScan<C, X, Y>(
  f: (carry: C, x: X) => [C, Y],
  carry: C,
  xs: X,
  length: number,
  keep?: Kept,
): [C, Y] {
  const backend = tf.backend() as XlaBackend;
  const carries = flatten(carry, 'scan: carry');
  const slices = flatten(xs, 'scan: xs');
  const step: Step = {
    y: undefined,
    yTypes: [],
    run(c, x) {
      const result = f(unflatten(carries.def, c) as C, unflatten(slices.def, x) as X);
      if (!Array.isArray(result) || result.length !== 2) throw new Error('scan: f must return [carry, y]');
      const next = flatten(result[0], 'scan: carry').tensors;
      checkSameTensors('scan: the carry', c, next);
      const y = flatten(result[1], 'scan: y');
      step.y = y.def;
      step.yTypes = y.tensors.map((tensor) => tensor.dtype);
      return { carry: next, y: y.tensors };
    },
  };
  const typed = (tensors: readonly tf.Tensor[]): Typed[] =>
    tensors.map((tensor) => ({
      value: tracedValue(tensor, backend),
      dtype: tensor.dtype,
      layout: perDeviceMesh() ? undefined : backend.find(tensor.dataId).layout,
    }));
  const loop = new ScanLoop(step, typed(carries.tensors), typed(slices.tensors), length, backend);
  const { result: body, free, others } = withFreeTensors(() => loop.traceBody());
  if (isRecording()) for (const tensor of [...free, ...others]) currentFrame()!.trace.keep(tensor);
  const outputs = isRecording()
    ? recorded(loop, body, carries.tensors, slices.tensors, free)
    : loop.forward(body, false, keep).outputs;
  const split = carries.tensors.length;
  return [
    unflatten(carries.def, outputs.slice(0, split)) as C,
    unflatten(step.y!, outputs.slice(split)) as Y,
  ];
}

function recorded(
  loop: ScanLoop,
  body: Body,
  carry: readonly tf.Tensor[],
  xs: readonly tf.Tensor[],
  free: readonly tf.Tensor[],
): tf.Tensor[] {
  let saved: readonly Value[] = [];
  const inputs = [...carry.filter(isFloat), ...xs.filter(isFloat), ...free];
  return customVjp(
    inputs,
    () => {
      const forward = loop.forward(body, true);
      saved = forward.saved;
      return forward.outputs;
    },
    (dys) => {
      if (isRecording())
        throw new Error('scan: gradients of its gradients are not supported; use a plain loop');
      return loop.backward(saved, dys, free);
    },
  );
}

/** One scan in the program: its types and the blocks of its forward and backward loop. */
class ScanLoop {
  constructor(
    private readonly step: Step,
    private readonly carry: readonly Typed[],
    private readonly xs: readonly Typed[],
    private readonly length: number,
    private readonly backend: XlaBackend,
  ) {}

  private get block(): Block {
    return currentFrame()!.block;
  }

  private tensor = ({ value, dtype }: Pick<Typed, 'value' | 'dtype'>): tf.Tensor =>
    tensorOf(value, dtype, this.backend);

  /** What the step sees of xs[k]: a slice, which lies over devices as the stack does. */
  private slice = (value: Value, k: number): tf.Tensor => {
    const { dtype, layout } = this.xs[k]!;
    return tensorOf(value, dtype, this.backend, layout && { mesh: layout.mesh, spec: layout.spec.slice(1) });
  };

  /** Room for a gradient, laid out like what it is the gradient of: left to itself XLA may put all of it everywhere. */
  private zeros({ shape }: Value, dtype: ElementType, layout: Sharding | undefined): Value {
    const { block } = this;
    const room = hlo.full(block, shape, 0, dtype);
    return layout ? hlo.shardingConstraint(block, room, shardingText(layout)) : room;
  }

  /** Traces a step, once: traced twice, a scan in a scan in a scan would trace its own eight times. */
  traceBody(): Body {
    const region = hlo.openRegion(this.block);
    const i = region.argument({ shape: [], dtype: 'i32' });
    const before = this.carry.map(({ value }) => region.argument(value));
    const x = this.xs.map(({ value }) => at(region.block, value, i));
    const results = inBlock(region.block, this.backend, () => {
      const { carry, y } = this.run(before, x);
      return [...carry, ...y];
    });
    const after = results.slice(0, before.length);
    checkSameTypes('scan: the carry', before, after);
    return { region, i, before, after, y: results.slice(before.length) };
  }

  private run(carry: readonly Value[], x: readonly Value[]) {
    return this.step.run(
      carry.map((value, i) => this.tensor({ value, dtype: this.carry[i]!.dtype })),
      x.map(this.slice),
    );
  }

  /** The loop. Call it once: it finishes the body. With `save` the carries before every step are stacked too. */
  forward(body: Body, save: boolean, keep?: Kept): { outputs: tf.Tensor[]; saved: readonly Value[] } {
    const { block, length } = this;
    const { region, i, before, after, y } = body;
    const rows = [...y, ...(save ? before : [])];
    const first = keep && this.firstOf(keep);
    // The last row is written by the steps that are not kept.
    const count = keep ? keep.count + 1 : length;
    const stacks = rows.map(({ shape, dtype }) => hlo.full(block, [count, ...shape], zero(dtype), dtype));
    const init = [hlo.scalar(block, 0, 'i32'), ...this.carry.map(({ value }) => value), ...stacks];
    const condition = hlo.region(block, init, (b, [k]) => [
      hlo.compare(b, 'LT', k!, hlo.scalar(b, length, 'i32')),
    ]);
    const b = region.block;
    const row = first ? rowAmong(b, i, first, keep!.count) : i;
    const filled = stacks.map((stack, k) => put(b, region.argument(stack), rows[k]!, row));
    const loop = region.close([hlo.add(b, i, hlo.scalar(b, 1, 'i32')), ...after, ...filled]);
    const state = hlo.whileOp(block, init, condition, loop, length).slice(1);
    const n = before.length;
    const outputs = [
      ...this.carry.map(({ dtype }, k) => this.tensor({ value: state[k]!, dtype })),
      ...y.map((_, k) => {
        const stack = state[n + k]!;
        const value = keep ? firstRows(block, stack, keep.count) : stack;
        return this.tensor({ value, dtype: this.step.yTypes[k]! });
      }),
    ];
    return { outputs, saved: state.slice(n + y.length) };
  }

  /** The first step to keep, within the steps. */
  private firstOf({ first, count }: Kept): Value {
    const { block, backend, length } = this;
    const value = hlo.reshape(block, hlo.convert(block, tracedValue(first, backend), 'i32'), []);
    const [lowest, highest] = [0, length - count].map((limit) => hlo.scalar(block, limit, 'i32'));
    return hlo.clamp(block, lowest!, value, highest!);
  }

  /** Gradients of the float carries, the float xs and the free tensors, from those of all outputs. */
  backward(saved: readonly Value[], dys: readonly tf.Tensor[], free: readonly tf.Tensor[]): tf.Tensor[] {
    const { block, length, backend } = this;
    const isFloatType = ({ dtype }: { dtype: tf.DataType }) => dtype === 'float32';
    const n = this.carry.length;
    const floatCarry = this.carry.map((each, i) => ({ ...each, i })).filter(isFloatType);
    const floatXs = this.xs.map((each, i) => ({ ...each, i })).filter(isFloatType);
    const freeValues = free.map((tensor) => tracedValue(tensor, backend));
    const dyValues = dys.map((tensor) => tracedValue(tensor, backend));
    const dCarry = floatCarry.map(({ value, i }) => hlo.convert(block, dyValues[i]!, value.dtype));
    const dXs = floatXs.map(({ value, layout }) => this.zeros(value, value.dtype, layout));
    const dFree = freeValues.map((value, k) =>
      this.zeros(value, 'f32', perDeviceMesh() ? undefined : backend.find(free[k]!.dataId).layout),
    );
    const [c, x] = [dCarry.length, dXs.length];
    const state = hlo.while(
      block,
      [hlo.scalar(block, length - 1, 'i32'), ...dCarry, ...dXs, ...dFree],
      (b, [i]) => hlo.compare(b, 'GE', i!, hlo.scalar(b, 0, 'i32')),
      (b, [i, ...rest]) => {
        const carries = saved.map((stack) => at(b, stack, i!));
        const slices = this.xs.map(({ value }) => at(b, value, i!));
        const dRows = dyValues.slice(n).map((stack) => at(b, stack, i!));
        const grads = inBlock(b, backend, () => {
          const carryTensors = carries.map((value, k) => this.tensor({ value, dtype: this.carry[k]!.dtype }));
          const xTensors = slices.map(this.slice);
          // Only the float parts of a step's results carry gradients.
          const weights = [
            ...rest.slice(0, c).map((value) => this.tensor({ value, dtype: 'float32' })),
            ...dRows.flatMap((value, k) =>
              this.step.yTypes[k] === 'float32' ? [this.tensor({ value, dtype: 'float32' })] : [],
            ),
          ];
          return vjp(
            () => {
              const { carry, y } = this.step.run(carryTensors, xTensors);
              return [...carry, ...y].filter(isFloat);
            },
            [
              ...floatCarry.map((each) => carryTensors[each.i]!),
              ...floatXs.map((each) => xTensors[each.i]!),
              ...free,
            ],
            weights,
          );
        });
        const nextCarry = grads.slice(0, c).map((grad, k) => hlo.convert(b, grad, rest[k]!.dtype));
        const nextXs = grads.slice(c, c + x).map((grad, k) => {
          const stack = rest[c + k]!;
          return put(b, stack, hlo.convert(b, grad, stack.dtype), i!);
        });
        const nextFree = grads
          .slice(c + x)
          .map((grad, k) => hlo.add(b, rest[c + x + k]!, hlo.convert(b, grad, 'f32')));
        return [hlo.sub(b, i!, hlo.scalar(b, 1, 'i32')), ...nextCarry, ...nextXs, ...nextFree];
      },
      length,
    );
    const after = state.slice(1).map((value, i) => {
      const source = freeValues[i - c - x];
      return source ? hlo.convert(block, value, source.dtype) : value;
    });
    return after.map((value) => this.tensor({ value, dtype: 'float32' }));
  }
}

const zero = (dtype: ElementType): number | boolean => (dtype === 'i1' ? false : 0);

function start(b: Block, stack: Value, i: Value): Value[] {
  return stack.shape.map((_, axis) => (axis === 0 ? i : hlo.scalar(b, 0, 'i32')));
}

/** The row of step i in a stack of `count` steps from `first` and one more, which the other steps share. */
function rowAmong(b: Block, i: Value, first: Value, count: number): Value {
  const row = hlo.sub(b, i, first);
  const [none, all] = [hlo.scalar(b, 0, 'i32'), hlo.scalar(b, count, 'i32')];
  const inside = hlo.and(b, hlo.compare(b, 'GE', row, none), hlo.compare(b, 'LT', row, all));
  return hlo.select(b, inside, row, all);
}

function firstRows(b: Block, stack: Value, count: number): Value {
  const starts = stack.shape.map(() => 0);
  return hlo.slice(b, stack, starts, [count, ...stack.shape.slice(1)]);
}

/** stack[i] */
function at(b: Block, stack: Value, i: Value): Value {
  const shape = stack.shape.slice(1);
  return hlo.reshape(b, hlo.dynamicSlice(b, stack, start(b, stack, i), [1, ...shape]), shape);
}

/** stack with stack[i] = row */
function put(b: Block, stack: Value, row: Value, i: Value): Value {
  return hlo.dynamicUpdateSlice(b, stack, hlo.reshape(b, row, [1, ...row.shape]), start(b, stack, i));
}
