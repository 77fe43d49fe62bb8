/** What packages export as values: each is used elsewhere, or shown in a document; the rest stands here with its reason. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { repositoryFiles } from './support/src/repository';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (file: string) => readFileSync(join(root, file), 'utf8');

/** Exports that nothing here uses, by package and why they are there. The lists may only shrink. */
const UNUSED: Record<string, Record<string, readonly string[]>> = {
  'checkpoint-io': {
    'errors that callers tell apart': ['CheckpointError', 'HubError', 'PickleEndError'],
    'layouts of adapters for tensors in memory': ['fromDiffusers', 'toDiffusers'],
    'values that an unpickler of one’s own meets': ['PickleTuple'],
  },
  cli: {
    'parts of built-in setups for a setup module of one’s own': ['zImagePolicyOf', 'zImageSetup'],
    'for editors and programs that check run files': ['runFileJsonSchema'],
  },
  'grpo-trainer': {
    'for editors and programs that check configurations': ['configJsonSchema'],
    'for a loop of one’s own': [
      'checkDivergence',
      'initialDivergenceState',
      'globalNorm',
      'loadRun',
      'ratioStatistics',
    ],
    'for an algorithm of one’s own': [
      'advantageOptions',
      'bestAgainstWorst',
      'bestOfGroup',
      'comparesImages',
      'detach',
      'rewardItself',
      'standardScore',
    ],
  },
  nn: { 'where a layer lies in a stack, for a model of one’s own': ['stackedPlace'] },
  pjrt: {
    'types of elements, for programs that read programs': ['ELEMENT_TYPES', 'elementBytes'],
    'what the command does, for programs': ['installPlugin', 'listPlugins'],
  },
  rewards: {
    'errors that callers tell apart': ['PickleError', 'RemoteError'],
    'for servers and clients in flow_grpo’s format': ['NdArray', 'PyTuple'],
    'parts of scorers for one of one’s own': ['describeScene', 'paddleOcr'],
    'answers of people, for a reward that replays them': ['withAnswers'],
    'the registry, for programs that offer rewards by name': ['findReward', 'makeFoundReward'],
  },
  'sde-sampler': { 'a step rule by its name': ['ruleOf'] },
  'showo2-model': {
    'parts of the model, compared with upstream’s one by one': [
      'chooseToken',
      'coverCrop',
      'decodeStep',
      'encodeHeadText',
      'generateText',
      'generationLayout',
      'hasHeadProjection',
      'mixedModalLayout',
      'omniAttentionAllowed',
      'omniAttentionMask',
      'prefill',
      'previewLatents',
      'repeatState',
      'stackFrozen',
      'textDecoder',
      'textLogits',
      'tokenLogits',
      'uniformStream',
      'withHeadText',
    ],
    'constants of the published model and its files': [
      'ADDED_TOKENS',
      'DEFAULT_TRAINABLE',
      'QWEN2_5_TOKENS',
      'QWEN2_5_VOCABULARY',
      'TOKEN_NAMES',
      'parseShowo2Yaml',
    ],
    'tokenizers without a model': ['loadQwenTokenizer', 'qwenTokenizer'],
    'parts of the VAE, compared with upstream’s one by one': [
      'checkVaeConfig',
      'decodeImageTiled',
      'decodeInPieces',
      'encodeImageTiled',
      'encodeInPieces',
      'samplePosterior',
      'temporalFactor',
    ],
  },
  'z-image-model': {
    'parts of the model, compared with upstream’s one by one': [
      'MAX_TOKENS',
      'chatText',
      'decodeLatentsTiled',
      'encodeImagesTiled',
      'idBatch',
      'initAutoencoder',
      'initTextEncoder',
      'isGuidedAt',
      'parseAutoencoderConfig',
      'parseSchedulerConfig',
      'parseTextEncoderConfig',
      'scheduleFor',
      'shiftFor',
      'textRotary',
      'unscaleLatents',
    ],
  },
};

const packages = repositoryFiles((path) => /^packages\/[^/]+\/package\.json$/.test(path)).map(
  (path) => path.split('/')[1]!,
);

/** Source files of the entries that a package exports. */
function entriesOf(name: string): string[] {
  const { exports = {} } = JSON.parse(read(`packages/${name}/package.json`)) as {
    exports?: Record<string, string | { '@flow-grpo/source'?: string }>;
  };
  return Object.values(exports).flatMap((target) => {
    const source = typeof target === 'object' ? target['@flow-grpo/source'] : undefined;
    return source ? [join('packages', name, source)] : [];
  });
}

/** Names of the values that a file exports; types are not among them. */
function exportedValues(text: string): string[] {
  const plain = text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, '');
  const listed = [...plain.matchAll(/export\s*\{([^}]*)\}/g)].flatMap(([, list]) =>
    list!
      .split(',')
      .map((each) => each.trim())
      .filter((each) => each !== '' && !each.startsWith('type '))
      .map((each) => each.split(/\s+as\s+/).at(-1)!),
  );
  const declared = [
    ...plain.matchAll(/export\s+(?:async\s+)?(?:const|let|class|function\*?)\s+([\w$]+)/g),
  ].map(([, name]) => name!);
  return [...listed, ...declared];
}

/** Tests that list names without using what has them. */
const LISTS = ['tests/exports.test.ts', 'tests/tensor-records.test.ts'];

/** Words of everything that may use an export, by where it is. */
const users = repositoryFiles((path) =>
  /^(packages|examples|docs|benchmarks|tests|scripts)\/.*\.(ts|mts|mjs|md|vue|html)$|^[A-Z]+\.md$/.test(path),
)
  .filter((path) => !LISTS.includes(path))
  .map((path) => ({
    owner: /^packages\/([^/]+)\/(?!README)/.exec(path)?.[1],
    words: new Set(read(path).match(/[\w$]+/g) ?? []),
  }));

describe('packages', () => {
  it.each(packages)('%s has no `export *` at an entry', (name) => {
    const starred = entriesOf(name).filter((file) => /^export \* from/m.test(read(file)));
    expect(starred).toEqual([]);
  });

  it.each(packages)('%s exports no value without a use or a reason', (name) => {
    const names = entriesOf(name).flatMap((file) => exportedValues(read(file)));
    const idle = [...new Set(names)].filter(
      (value) => !users.some(({ owner, words }) => owner !== name && words.has(value)),
    );
    const excused = Object.values(UNUSED[name] ?? {}).flat();
    expect(idle.sort()).toEqual([...excused].sort());
  });
});

it('values are told from types', () => {
  const text = `export { a, type B, c as d } from './x';
    export type { E } from './y'; // export { no }
    export const f = 1; export async function g() {}`;
  expect(exportedValues(text)).toEqual(['a', 'd', 'f', 'g']);
});
