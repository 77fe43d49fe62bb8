/** A block of a program being written, and the two forms in which ops are appended to it. */
import { type CountedOp, neededFlops } from './flops';
import { type TensorType, typeText, type Value } from './types';

interface Op extends CountedOp {
  readonly text: string;
}

/**
 * The body of a function, or of a region of an op, as far as it is written. Every op is a function of the block that
 * it is appended to and of values that this block, or one around it, holds.
 */
export interface Block {
  readonly ops: Op[];
  /** Scalar constants made in this block, by type and text. */
  readonly scalars: Map<string, Value>;
  /** The next value's number. Values are numbered through a function, since its regions may use what surrounds them. */
  readonly names: { next: number };
}

/** A finished block inside an op. */
export interface Region {
  readonly text: string;
  readonly results: readonly Value[];
  /** What it reads from around it, by id. */
  readonly captures: readonly string[];
  /** Floating-point operations of one run. */
  readonly flops: number;
}

/** An empty block: of a new function, or of a region inside a block. */
export const newBlock = (around?: Block): Block => ({
  ops: [],
  scalars: new Map(),
  names: around?.names ?? { next: 0 },
});

/** The ops so far, each line behind `indent`. */
export const blockText = (b: Block, indent: string): string =>
  b.ops.map(({ text }) => text.replace(/^/gm, indent)).join('\n');

/** Floating-point operations that these results of the block take. */
export const blockFlops = (b: Block, results: readonly Value[]): number =>
  neededFlops(b.ops, results.map(idOf));

const idOf = ({ id }: Value): string => id;

const fresh = (b: Block): string => `%${b.names.next++}`;

/** Appends one op in StableHLO's short form: its name, its operands, and the rest of the line. */
export function short(
  b: Block,
  name: string,
  operands: readonly Value[],
  rest: string,
  result: TensorType,
  flops = 0,
): Value {
  const id = fresh(b);
  const ids = operands.map(idOf);
  const head = ids.length ? `${name} ${ids.join(', ')}` : name;
  b.ops.push({ text: `${id} = stablehlo.${head}${rest}`, operands: ids, results: [id], flops });
  return { id, shape: result.shape, dtype: result.dtype };
}

/** Appends one op in MLIR's generic form; works for every op of every dialect. */
export function op(
  b: Block,
  name: string,
  operands: readonly Value[],
  results: readonly TensorType[],
  attributes: Readonly<Record<string, string>> = {},
  regions: readonly Region[] = [],
  flops = 0,
): Value[] {
  const id = fresh(b);
  const many = results.length > 1;
  const bind = results.length === 0 ? '' : many ? `${id}:${results.length} = ` : `${id} = `;
  const ids = operands.map(idOf);
  const body = regions.length ? ` (${regions.map((r) => r.text).join(', ')})` : '';
  const list = Object.entries(attributes).map(([k, v]) => (v === '' ? k : `${k} = ${v}`));
  const attrs = list.length ? ` {${list.join(', ')}}` : '';
  const types = results.map(typeText);
  const out = results.length === 1 ? types[0] : `(${types.join(', ')})`;
  const values = results.map(({ shape, dtype }, i) => ({ id: many ? `${id}#${i}` : id, shape, dtype }));
  b.ops.push({
    text: `${bind}"${name}"(${ids.join(', ')})${body}${attrs} : (${operands.map(typeText).join(', ')}) -> ${out}`,
    operands: [...ids, ...regions.flatMap(({ captures }) => captures)],
    results: values.map(idOf),
    flops,
  });
  return values;
}

/** A block that an op will hold, whose arguments may be added while it is written. */
export interface OpenRegion {
  readonly block: Block;
  argument(type: TensorType): Value;
  /** Ends it with what it yields; nothing is appended to it afterwards. */
  close(results: readonly Value[], terminator?: string): Region;
}

/** Starts a block inside `b`. */
export function openRegion(b: Block): OpenRegion {
  const block = newBlock(b);
  const args: Value[] = [];
  return {
    block,
    argument({ shape, dtype }) {
      const value = { id: fresh(b), shape, dtype };
      args.push(value);
      return value;
    },
    close(results, terminator = 'stablehlo.return') {
      const head = args.length ? `^bb0(${args.map((v) => `${v.id}: ${typeText(v)}`).join(', ')}):\n` : '';
      const ids = results.map(idOf);
      const end = `${terminator} ${ids.join(', ')}${ids.length ? ` : ${results.map(typeText).join(', ')}` : ''}`;
      return {
        text: `{\n${head}${blockText(block, '  ')}\n  ${end}\n}`.replace(/\n\n+/g, '\n'),
        results,
        captures: capturesOf(block, args.map(idOf), ids),
        flops: blockFlops(block, results),
      };
    },
  };
}

/** Writes a block with arguments of these types; what `body` returns is yielded by `terminator`. */
export function region(
  b: Block,
  args: readonly TensorType[],
  body: (inner: Block, args: Value[]) => readonly Value[],
  terminator?: string,
): Region {
  const open = openRegion(b);
  const values = args.map(open.argument);
  return open.close(body(open.block, values), terminator);
}

/** What a block with these arguments and results reads and does not make itself. */
function capturesOf({ ops }: Block, args: readonly string[], results: readonly string[]): string[] {
  const own = new Set([...args, ...ops.flatMap((each) => each.results)]);
  return [...new Set([...ops.flatMap((each) => each.operands), ...results])].filter((id) => !own.has(id));
}
