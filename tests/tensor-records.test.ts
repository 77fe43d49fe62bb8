/** Records of tensors that packages return are what `tf.tidy` returns and `tf.dispose` takes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { packageFolders } from './support/src/packed';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The source files of a package's entries. */
function entriesOf(name: string): string[] {
  const { exports } = JSON.parse(readFileSync(join(root, `packages/${name}/package.json`), 'utf8')) as {
    exports: Record<string, { '@flow-grpo/source'?: string }>;
  };
  return Object.values(exports).flatMap((entry) => {
    const source = entry['@flow-grpo/source'];
    return source ? [join(root, `packages/${name}`, source)] : [];
  });
}

const entries = new Map([...packageFolders].map((name) => [name, entriesOf(name)]));
const probe = join(root, 'tests/probe.ts');
const { options } = ts.parseJsonConfigFileContent(
  ts.readConfigFile(join(root, 'tsconfig.base.json'), ts.sys.readFile).config,
  ts.sys,
  root,
);
const host = ts.createCompilerHost(options);
const { getSourceFile, fileExists } = host;
const PROBE = "import * as tf from '@tensorflow/tfjs-core';\nexport type Given = tf.TensorContainer;\nexport type One = tf.Tensor;\n";
host.fileExists = (file) => file === probe || fileExists(file);
host.getSourceFile = (file, version, ...rest) =>
  file === probe ? ts.createSourceFile(file, PROBE, version, true) : getSourceFile(file, version, ...rest);
const program = ts.createProgram([probe, ...[...entries.values()].flat()], options, host);
const checker = program.getTypeChecker();

const exported = (file: string) =>
  checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file)!)!);
const [given, tensor] = exported(probe).map((symbol) => checker.getDeclaredTypeOfSymbol(symbol)) as [
  ts.Type,
  ts.Type,
];

const isTensor = (type: ts.Type) => checker.isTypeAssignableTo(type, tensor);

/** Whether a type is data with tensors in it: records and arrays of data all the way, without functions or class instances. */
function holdsTensors(type: ts.Type, seen = new Set<ts.Type>()): boolean {
  if (isTensor(type)) return !(type.flags & (ts.TypeFlags.Any | ts.TypeFlags.Never));
  if (seen.has(type)) return false;
  seen.add(type);
  if (type.isUnionOrIntersection()) return type.types.some((each) => holdsTensors(each, seen));
  if (checker.isArrayType(type) || checker.isTupleType(type))
    return checker.getTypeArguments(type as ts.TypeReference).some((each) => holdsTensors(each, seen));
  const indexed = checker.getIndexTypeOfType(type, ts.IndexKind.String);
  if (indexed && holdsTensors(indexed, seen)) return true;
  return isRecord(type) && propertyTypes(type).some((each) => holdsTensors(each, seen));
}

const propertyTypes = (type: ts.Type) => checker.getPropertiesOfType(type).map((each) => checker.getTypeOfSymbol(each));

/** A plain object type of this repository's: neither a class nor something with functions in it. */
function isRecord(type: ts.Type): boolean {
  if (!(type.flags & ts.TypeFlags.Object) || type.isClass() || type.getCallSignatures().length > 0) return false;
  return propertyTypes(type).every(
    (each) => checker.getNonNullableType(each).getCallSignatures().length === 0,
  );
}

interface Returned {
  readonly name: string;
  readonly type: ts.Type;
}

/** What the functions of a package return, awaited, and the methods of what it exports. */
function returnedBy(name: string): Returned[] {
  const found = new Map<string, Returned>();
  const add = (called: string, type: ts.Type) => {
    for (const signature of type.getCallSignatures()) {
      const result = signature.getReturnType();
      found.set(called, { name: called, type: checker.getAwaitedType(result) ?? result });
    }
  };
  for (const file of entries.get(name)!) {
    for (const symbol of exported(file)) {
      const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
      if (target.flags & ts.SymbolFlags.Value) add(symbol.name, checker.getTypeOfSymbol(target));
      if (target.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface | ts.SymbolFlags.TypeAlias)) {
        for (const member of checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(target)))
          add(`${symbol.name}.${member.name}`, checker.getNonNullableType(checker.getTypeOfSymbol(member)));
      }
    }
  }
  return [...found.values()].filter(({ type }) => holdsTensors(type));
}

describe.each([...entries.keys()])('%s', (name) => {
  const returned = returnedBy(name);
  it(`${returned.length} functions: what they return is data for tf.tidy and tf.dispose`, () => {
    const refused = returned.filter(({ type }) => !checker.isTypeAssignableTo(type, given));
    expect(refused.map((each) => `${each.name}: ${checker.typeToString(each.type)}`)).toEqual([]);
  });
});
