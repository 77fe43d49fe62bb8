import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { resolveRunFile, runFileSchema } from '../../packages/cli/src/run-file/schema';
import { showo2SetupSchema, zImageSetupSchema } from '../../packages/cli/src/run-file/setup-schema';
import { algorithms } from '../../packages/grpo-trainer/src/algorithms/registry';
import { type SchemaLeaf, schemaLeaves } from '../../packages/grpo-trainer/src/config/leaves';

/** What documents show: code compiles, imports and linked files exist, and what configures a run is accepted. */
const root = fileURLToPath(new URL('../..', import.meta.url));

interface Block {
  readonly file: string;
  /** Line of its first line in the document. */
  readonly line: number;
  readonly language: string;
  readonly code: string;
}

const markdown = (folder: string, deep = false) =>
  readdirSync(join(root, folder))
    .flatMap((name) => (deep ? join(folder, name, 'README.md') : join(folder, name)))
    .filter((file) => file.endsWith('.md') && existsSync(join(root, file)));

const documents = [
  ...markdown('.'),
  ...markdown('docs'),
  ...markdown('docs/packages'),
  ...markdown('packages', true),
  ...markdown('examples', true),
];
const blocks = documents.flatMap(blocksOf);
const named = (languages: readonly string[]) =>
  blocks
    .filter(({ language }) => languages.includes(language))
    .map((b) => [`${b.file}:${b.line}`, b] as const);

describe('TypeScript', () => {
  const examples = named(['ts', 'typescript']);
  const problems = check(examples.map(([, block]) => block));
  it.each(examples)('%s compiles', (_, block) => expect(problems(block)).toEqual([]));
});

describe('JavaScript', () => {
  const examples = named(['js', 'javascript']);
  const problems = check(examples.map(([, block]) => block));
  it.each(examples)('%s imports what exists', (_, block) => expect(problems(block)).toEqual([]));
});

it('code starts XLA by startXla, which says what is missing where tf.setBackend would be silent', () => {
  const others = blocks.filter(
    ({ language, code }) => /^[jt]s|script$/.test(language) && /setBackend\(['"]xla/.test(code),
  );
  expect(others.map(({ file, line }) => `${file}:${line}`)).toEqual([]);
});

describe('configurations', () => {
  it.each(named(['yaml']))('%s is a run', (_, { code }) => {
    expect(() => resolveRunFile(parse(code) as Record<string, unknown>)).not.toThrow();
  });
});

describe('defaults', () => {
  const leaves = schemaLeaves(runFileSchema);
  const rows = ['policy-gradient', 'forward-process', 'preference', 'supervised'].flatMap((page) =>
    [...readFileSync(join(root, `docs/${page}.md`), 'utf8').matchAll(/^\| `([\w.-]+)` \| ([^|]+) \|/gm)].map(
      ([, path, value]) => ({ page, path: path!, value: value!.trim() }),
    ),
  );
  it.each(rows)("$page: $path is $value, as the algorithm's options say", ({ path, value }) => {
    const leaf = leaves.find((each) => each.path === path);
    expect(leaf, path).toBeDefined();
    expect(typeof leaf!.default === 'number' ? Number(value) : value).toEqual(
      typeof leaf!.default === 'number' ? leaf!.default : `${leaf!.default}`,
    );
  });
  it('are told of every algorithm', () => {
    const told = new Set(rows.map(({ path }) => path.split('.')[0]));
    expect([...told].sort()).toEqual(Object.keys(algorithms).sort());
  });
});

describe('options', () => {
  const known = [
    ...schemaLeaves(runFileSchema),
    ...[showo2SetupSchema, zImageSetupSchema].flatMap((schema) => prefixed('setup', schemaLeaves(schema))),
  ].map(({ path }) => path);
  it.each(documents)('of a run that %s names exist', (file) => {
    const text = readFileSync(join(root, file), 'utf8');
    const mentioned = [
      ...text.matchAll(
        /`((?:setup|sampling|training|ema|divergence|grpo|guard|flow-dppo|nft|awm|dgpo|crd|dpo|sft|rwr)\.[\w.]+)/g,
      ),
    ].map(([, path]) => path!);
    const exists = (path: string) => known.some((each) => each === path || each.startsWith(`${path}.`));
    expect(mentioned.filter((path) => !exists(path))).toEqual([]);
  });

  it("the recipe's run is that of examples/pickscore-4gpu", () => {
    const recipe = named(['yaml']).find(([name]) => name.startsWith('docs/recipe.md'))![1];
    const whole = parse(readFileSync(join(root, 'examples/pickscore-4gpu/pickscore.yaml'), 'utf8'));
    expect(whole).toMatchObject(parse(recipe.code));
  });
});

describe('links', () => {
  // The site's own addresses are checked on the built site.
  const link = /\]\((?!https?:|#|\/)([^)#\s]+)/g;
  it.each(documents)('of %s lead to files', (file) => {
    const linked = [...readFileSync(join(root, file), 'utf8').matchAll(link)].map(([, path]) => path!);
    expect(linked.filter((path) => !existsSync(join(root, dirname(file), path)))).toEqual([]);
  });
});

const prefixed = (group: string, leaves: readonly SchemaLeaf[]) =>
  leaves.map((leaf) => ({ ...leaf, path: `${group}.${leaf.path}` }));

/** The fenced blocks of a document; those indented, in lists, too. */
function blocksOf(file: string): Block[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/^( *)```(\w+)[^\n]*\n([\s\S]*?)^\1```/gm)].map((match) => ({
    file,
    line: text.slice(0, match.index).split('\n').length + 1,
    language: match[2]!,
    code: match[3]!,
  }));
}

/**
 * Compiles blocks together, each a module beside its document, with the repository's own options. JavaScript
 * may leave out what a reader fills in, so only its imports are checked.
 */
function check(given: readonly Block[]): (block: Block) => string[] {
  const options: ts.CompilerOptions = {
    ...ts.parseJsonConfigFileContent(
      ts.readConfigFile(join(root, 'tsconfig.base.json'), ts.sys.readFile).config,
      ts.sys,
      root,
    ).options,
    allowJs: true,
    checkJs: true,
  };
  const nameOf = ({ file, line, language }: Block) =>
    join(root, dirname(file), `block-${file.replace(/\W/g, '-')}-${line}.${language}`);
  const sources = new Map(given.map((block) => [nameOf(block), `${block.code}\nexport {};\n`]));
  const host = ts.createCompilerHost(options);
  const { readFile, fileExists, getSourceFile } = host;
  host.fileExists = (name) => sources.has(name) || fileExists(name);
  host.readFile = (name) => sources.get(name) ?? readFile(name);
  host.getSourceFile = (name, version, ...rest) => {
    const text = sources.get(name);
    return text === undefined
      ? getSourceFile(name, version, ...rest)
      : ts.createSourceFile(name, text, version, true);
  };
  const program = ts.createProgram([...sources.keys()], options, host);
  return (block) => {
    const source = program.getSourceFile(nameOf(block))!;
    const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
    return found
      .filter(({ code }) => !block.language.startsWith('js') || IMPORT_ERRORS.has(code))
      .map(({ start = 0, messageText }) => {
        const line = block.line + source.getLineAndCharacterOfPosition(start).line;
        return `${block.file}:${line} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
      });
  };
}

/** No such module, no such export, and did you mean. */
const IMPORT_ERRORS = new Set([2307, 2305, 2614, 2724]);
