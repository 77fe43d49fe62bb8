import { type Block, blockFlops, blockText, newBlock } from './block';
import { type TensorType, typeText, type Value } from './types';

/** Attributes of an argument or a result, already as MLIR text: `{ 'tf.aliasing_output': '0 : i32' }`. */
export type Attributes = Readonly<Record<string, string>>;

export interface ArgumentSpec extends TensorType {
  readonly attributes?: Attributes;
}

const attributeText = (attributes?: Attributes): string => {
  const entries = Object.entries(attributes ?? {});
  if (entries.length === 0) return '';
  return ` {${entries.map(([k, v]) => `${/^[\w.]+$/.test(k) ? k : JSON.stringify(k)} = ${v}`).join(', ')}}`;
};

interface FunctionText {
  readonly name: string;
  readonly block: Block;
  readonly arguments: readonly (Value & ArgumentSpec)[];
  results?: readonly Value[];
  resultAttributes?: readonly (Attributes | undefined)[];
}

/**
 * A StableHLO module under construction: functions, meshes and module attributes.
 * `toString()` is the text that a PJRT plugin compiles.
 */
export class Module {
  private readonly functions: FunctionText[] = [];
  private readonly preamble: string[] = [];
  private readonly attributes: Record<string, string> = {};

  constructor(readonly name = 'main') {
    if (!/^[A-Za-z_][\w.$-]*$/.test(name)) throw new Error(`module name "${name}" is not an MLIR identifier`);
  }

  /** Sets a module attribute, for example `setAttribute('mhlo.num_partitions', '4 : i32')`. */
  setAttribute(key: string, text: string): void {
    this.attributes[key] = text;
  }

  /** Declares a Shardy mesh, for example `mesh('mesh', { data: 2, model: 4 })`. */
  mesh(name: string, axes: Readonly<Record<string, number>>): void {
    const list = Object.entries(axes).map(([axis, size]) => `"${axis}"=${size}`);
    this.preamble.push(`sdy.mesh @${name} = <[${list.join(', ')}]>`);
  }

  /** Starts a function; finish it with `finish`. The one named `main` is the entry. */
  func(name: string, args: readonly ArgumentSpec[]): { block: Block; args: Value[] } {
    if (this.functions.some((f) => f.name === name))
      throw new Error(`function @${name} is already in the module`);
    const values = args.map((spec, i) => ({ ...spec, id: `%arg${i}` }));
    const block = newBlock();
    this.functions.push({ name, block, arguments: values });
    return { block, args: values };
  }

  /** Sets what the function returns. */
  finish(name: string, results: readonly Value[], attributes?: readonly (Attributes | undefined)[]): void {
    const found = this.functions.find((f) => f.name === name);
    if (!found) throw new Error(`no function @${name} in the module`);
    if (found.results) throw new Error(`function @${name} is already finished`);
    found.results = results;
    found.resultAttributes = attributes;
  }

  /** Floating-point operations of one run of a finished function, by XLA's rules; loops by the number of their steps. */
  flops(name: string): number {
    const found = this.functions.find((f) => f.name === name);
    if (!found?.results) throw new Error(`function @${name} is not in the module or not finished`);
    return blockFlops(found.block, found.results);
  }

  toString(): string {
    const moduleAttributes = Object.entries(this.attributes).map(([k, v]) => `${k} = ${v}`);
    const head = moduleAttributes.length ? ` attributes {${moduleAttributes.join(', ')}}` : '';
    return [
      `module @${this.name}${head} {`,
      ...this.preamble.map((line) => `  ${line}`),
      ...this.functions.map(functionText),
      '}',
      '',
    ].join('\n');
  }
}

function functionText({ name, block, arguments: args, results, resultAttributes }: FunctionText): string {
  if (!results) throw new Error(`function @${name} has no results: call finish('${name}', …)`);
  const params = args.map((a) => `${a.id}: ${typeText(a)}${attributeText(a.attributes)}`).join(', ');
  const types = results.map((r, i) => `${typeText(r)}${attributeText(resultAttributes?.[i])}`).join(', ');
  const ret = results.length
    ? `    return ${results.map((r) => r.id).join(', ')} : ${results.map(typeText).join(', ')}`
    : '    return';
  return [
    `  func.func ${name === 'main' ? 'public' : 'private'} @${name}(${params}) -> (${types}) {`,
    blockText(block, '    '),
    ret,
    '  }',
  ]
    .filter((line) => line !== '')
    .join('\n');
}
