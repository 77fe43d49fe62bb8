import { type CountedLine, neededFlops } from './flops';
import { denseText, elementText } from './literals';
import type { Module } from './module';
import {
  type ElementType,
  numElements,
  type Shape,
  sameShape,
  type TensorType,
  typeText,
  type Value,
} from './types';

/** A block of ops inside an op, as text, with the types it yields. */
export interface Region {
  readonly text: string;
  readonly results: readonly Value[];
  /** Floating-point operations of one run. */
  readonly flops: number;
}

/** Names are unique in a function: nested regions may use what surrounds them. */
interface Names {
  next: number;
}

export const i64Array = (values: readonly number[]): string =>
  values.length ? `array<i64: ${values.join(', ')}>` : 'array<i64>';

export const i64Matrix = (rows: readonly (readonly number[])[]): string =>
  rows.length
    ? `dense<[${rows.map((r) => `[${r.join(', ')}]`).join(', ')}]> : tensor<${rows.length}x${rows[0]!.length}xi64>`
    : 'dense<> : tensor<0x2xi64>';

export const boolArray = (values: readonly boolean[]): string =>
  values.length ? `array<i1: ${values.join(', ')}>` : 'array<i1>';

export function fail(op: string, message: string): never {
  throw new Error(`stablehlo.${op}: ${message}`);
}

export const describe = (v: TensorType): string => `${v.dtype}[${v.shape.join(',')}]`;

/** Appends ops to one block; the op families extend it. */
export class BlockBuilder {
  private readonly lines: CountedLine[] = [];
  private readonly scalars = new Map<string, Value>();

  constructor(
    readonly module: Module,
    private readonly names: Names = { next: 0 },
  ) {}

  /** The ops so far, each line behind `indent`. */
  text(indent: string): string {
    return this.lines.map(({ text }) => text.replace(/^/gm, indent)).join('\n');
  }

  /** Floating-point operations that these results of the block take. */
  flops(results: readonly Value[]): number {
    return neededFlops(
      this.lines,
      results.map(({ id }) => id),
    );
  }

  private fresh(): string {
    return `%${this.names.next++}`;
  }

  /** Appends one op in StableHLO's short form: `stablehlo.<text>`. */
  protected short(text: string, result: TensorType, flops = 0): Value {
    const id = this.fresh();
    this.lines.push({ text: `${id} = stablehlo.${text}`, flops });
    return { id, shape: result.shape, dtype: result.dtype };
  }

  /** Appends one op in MLIR's generic form; works for every op and every dialect. */
  op(
    name: string,
    operands: readonly Value[],
    results: readonly TensorType[],
    attributes: Readonly<Record<string, string>> = {},
    regions: readonly Region[] = [],
    flops = 0,
  ): Value[] {
    const id = this.fresh();
    const bind = results.length === 0 ? '' : results.length === 1 ? `${id} = ` : `${id}:${results.length} = `;
    const body = regions.length ? ` (${regions.map((r) => r.text).join(', ')})` : '';
    const list = Object.entries(attributes).map(([k, v]) => (v === '' ? k : `${k} = ${v}`));
    const attrs = list.length ? ` {${list.join(', ')}}` : '';
    const types = results.map(typeText);
    const out = results.length === 1 ? types[0] : `(${types.join(', ')})`;
    this.lines.push({
      text: `${bind}"${name}"(${operands.map((v) => v.id).join(', ')})${body}${attrs} : (${operands.map(typeText).join(', ')}) -> ${out}`,
      flops,
    });
    return results.map((r, i) => ({
      id: results.length === 1 ? id : `${id}#${i}`,
      shape: r.shape,
      dtype: r.dtype,
    }));
  }

  /** Builds a block with arguments of these types; what `body` returns is yielded by `terminator`. */
  region(
    args: readonly TensorType[],
    body: (inner: this, args: Value[]) => readonly Value[],
    terminator = 'stablehlo.return',
  ): Region {
    const Same = this.constructor as new (module: Module, names: Names) => this;
    const inner = new Same(this.module, this.names);
    const values = args.map((a) => ({ id: this.fresh(), shape: a.shape, dtype: a.dtype }));
    const results = body(inner, values);
    const head = values.length ? `^bb0(${values.map((v) => `${v.id}: ${typeText(v)}`).join(', ')}):\n` : '';
    const ids = results.map((r) => r.id).join(', ');
    const end = `${terminator} ${ids}${results.length ? ` : ${results.map(typeText).join(', ')}` : ''}`;
    const text = `{\n${head}${inner.text('  ')}\n  ${end}\n}`.replace(/\n\n+/g, '\n');
    return { text, results, flops: inner.flops(results) };
  }

  /** A scalar constant, made once a block. */
  scalar(value: number | bigint | boolean, dtype: ElementType): Value {
    const text = elementText(value, dtype);
    const key = `${dtype} ${text}`;
    const known = this.scalars.get(key);
    if (known) return known;
    const type = { shape: [], dtype };
    const made = this.short(`constant dense<${text}> : ${typeText(type)}`, type);
    this.scalars.set(key, made);
    return made;
  }

  /** An array with one value everywhere. */
  full(shape: Shape, value: number | bigint | boolean, dtype: ElementType): Value {
    if (shape.length === 0) return this.scalar(value, dtype);
    const type = { shape: [...shape], dtype };
    return this.short(`constant dense<${elementText(value, dtype)}> : ${typeText(type)}`, type);
  }

  /** An array of given row-major values. Meant for small tables: the text grows with it. */
  constant(values: ArrayLike<number | bigint | boolean>, shape: Shape, dtype: ElementType): Value {
    if (values.length !== numElements(shape))
      fail('constant', `${values.length} values do not fill the shape [${shape.join(',')}]`);
    const type = { shape: [...shape], dtype };
    if (values.length === 0) return this.short(`constant dense<> : ${typeText(type)}`, type);
    return this.short(`constant dense<${denseText(values, shape, dtype)}> : ${typeText(type)}`, type);
  }

  protected requireSame(op: string, a: Value, b: Value): void {
    if (a.dtype !== b.dtype || !sameShape(a.shape, b.shape))
      fail(op, `operands must agree in shape and type, got ${describe(a)} and ${describe(b)}`);
  }
}
