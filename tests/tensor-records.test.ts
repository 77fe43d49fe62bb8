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

/** Beside tensors these return a file's contents, a run's counters or a structure: `tf.dispose` is for the tensors' part. */
const WITH_HOST_PARTS = ['toPeft', 'loadRun', 'loadWeights', 'flatten'];

const entries = new Map([...packageFolders].map((name) => [name, entriesOf(name)]));
const probe = join(root, 'tests/probe.ts');
const { options } = ts.parseJsonConfigFileContent(
  ts.readConfigFile(join(root, 'tsconfig.base.json'), ts.sys.readFile).config,
  ts.sys,
  root,
);
const host = ts.createCompilerHost(options);
const { getSourceFile, fileExists } = host;
const PROBE = `
import * as tf from '@tensorflow/tfjs-core';
export type Given = tf.TensorContainer;
export type One = tf.Tensor;
export interface Refused { readonly x: tf.Tensor }
`;
host.fileExists = (file) => file === probe || fileExists(file);
host.getSourceFile = (file, version, ...rest) =>
  file === probe ? ts.createSourceFile(file, PROBE, version, true) : getSourceFile(file, version, ...rest);
const program = ts.createProgram([probe, ...[...entries.values()].flat()], options, host);
const checker = program.getTypeChecker();

const exported = (file: string) =>
  checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file)!)!);
const probed = new Map(exported(probe).map((each) => [each.name, checker.getDeclaredTypeOfSymbol(each)]));
const given = probed.get('Given')!;
const tensor = probed.get('One')!;

/** The types that a type is made of: members, elements, properties; undefined of functions and of instances of classes. */
function partsOf(type: ts.Type): readonly ts.Type[] | undefined {
  if (type.isUnionOrIntersection()) return type.types;
  if (checker.isArrayType(type) || checker.isTupleType(type))
    return checker.getTypeArguments(type as ts.TypeReference);
  if (!(type.flags & ts.TypeFlags.Object)) return [];
  if (type.isClass() || type.getCallSignatures().length > 0) return undefined;
  const indexed = checker.getIndexTypeOfType(type, ts.IndexKind.String);
  const properties = checker.getPropertiesOfType(type).map((each) => checker.getTypeOfSymbol(each));
  return indexed ? [indexed, ...properties] : properties;
}

/** Whether a type is tensors, or records and arrays of data with some in them, without functions and class instances. */
function isTensorData(type: ts.Type): boolean {
  const seen = new Set<ts.Type>();
  let tensors = false;
  const isData = (each: ts.Type): boolean => {
    if (seen.has(each)) return true;
    seen.add(each);
    if (checker.isTypeAssignableTo(each, tensor)) {
      tensors ||= !(each.flags & (ts.TypeFlags.Any | ts.TypeFlags.Never));
      return true;
    }
    return partsOf(each)?.every(isData) ?? false;
  };
  return isData(type) && tensors;
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
  return [...found.values()].filter(({ type }) => isTensorData(type));
}

describe.each([...entries.keys()])('%s', (name) => {
  const returned = returnedBy(name);
  it('tf.tidy and tf.dispose take the tensors and records of tensors that it returns', () => {
    const refused = returned.filter(({ type }) => !checker.isTypeAssignableTo(type, given));
    const others = refused.filter((each) => !WITH_HOST_PARTS.includes(each.name));
    expect(others.map((each) => `${each.name}: ${checker.typeToString(each.type)}`)).toEqual([]);
  });
});

it('sees what functions return, and that an interface is refused', () => {
  const names = (name: string) => returnedBy(name).map((each) => each.name);
  expect(names('sde-sampler')).toEqual(
    expect.arrayContaining(['sample', 'sampleTrajectoryAsync', 'sdeStep', 'solveAdaptive', 'stackSteps']),
  );
  expect(names('grpo-trainer')).toEqual(expect.arrayContaining(['train', 'Policy.velocity']));
  const refused = probed.get('Refused')!;
  expect([isTensorData(refused), checker.isTypeAssignableTo(refused, given)]).toEqual([true, false]);
});
