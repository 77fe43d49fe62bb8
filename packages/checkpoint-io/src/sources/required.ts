import type { RepoType } from '../hub/cache-layout';
import type { FileChoice } from './choices';

/**
 * What a model reads from one source. Checks and loaders take the same description, so that a check which finds
 * everything is followed by a load that asks for nothing else.
 */
export interface RequiredFiles<Files extends FileChoices = FileChoices> {
  /** The option that names the source: `model`, `processor`. */
  readonly option: string;
  /** A path, a hub id (`org/name`, `org/name@revision`), or a file of a repository (`org/name/file`). */
  readonly source: string;
  /** Files by their role. */
  readonly files: Files;
  /** Default `model`. */
  readonly repoType?: RepoType;
  /** Branch, tag or commit, for sources that do not name one. */
  readonly revision?: string;
  /** Where to get the files: a sentence for errors. */
  readonly hint?: string;
}

export type FileChoices = Readonly<Record<string, FileChoice>>;

/** Files that a source does not have, or a source that does not exist. The message ends in where to get them. */
export class MissingFilesError extends Error {
  override readonly name = 'MissingFilesError';
  readonly required: RequiredFiles;
  /** The message without the hint. */
  readonly problem: string;

  constructor(required: RequiredFiles, problem: string, options?: ErrorOptions) {
    super(required.hint ? `${problem}. ${required.hint}` : problem, options);
    this.required = required;
    this.problem = problem;
  }
}

/** Names by role, and all names taken. */
export interface Chosen {
  readonly byRole: Readonly<Record<string, readonly string[]>>;
  readonly names: ReadonlySet<string>;
  /** Required files that are not there, in words. */
  readonly missing: readonly string[];
}

/** What is known of a folder beyond its names. */
export interface ChooseOptions {
  /** The file that the source itself is, by its name in the folder. */
  readonly file?: string | undefined;
  /** What indices say of their shards, where they can be read: names in the folder. */
  readonly shards?: ReadonlyMap<string, readonly string[]>;
}

/** What is read of a folder with these names. */
export function chooseFiles(
  files: FileChoices,
  names: readonly string[],
  { file, shards }: ChooseOptions = {},
): Chosen {
  const byRole: Record<string, readonly string[]> = {};
  const missing: string[] = [];
  for (const [role, choice] of Object.entries(files)) {
    const chosen = file !== undefined && choice.main ? [file] : choice.choose(names, file);
    const [first] = chosen;
    const listed = first === undefined ? undefined : shards?.get(first);
    byRole[role] = listed ? [first!, ...listed] : chosen;
    if (first === undefined && !choice.optional) missing.push(choice.what);
    const gone = listed
      ? byRole[role].find((name) => !names.includes(name))
      : file === undefined || !choice.main
        ? missingShard(chosen)
        : [file].find((name) => !names.includes(name));
    if (gone) missing.push(gone);
  }
  return { byRole, names: new Set(Object.values(byRole).flat()), missing };
}

/** Which shard a sharded checkpoint lacks, by the names the hub's tools give them. */
function missingShard([first = '', ...shards]: readonly string[]): string | undefined {
  if (!first.endsWith('.index.json')) return undefined;
  const count = Number(/-of-(\d+)\.[^.]+$/.exec(shards[0] ?? '')?.[1] ?? 0);
  if (count === 0) return `shards of ${first}`;
  const numbers = new Set(shards.map((shard) => Number(/-(\d+)-of-\d+\.[^.]+$/.exec(shard)?.[1])));
  const absent = Array.from({ length: count }, (_, i) => i + 1).find((number) => !numbers.has(number));
  return absent === undefined ? undefined : `shard ${absent} of ${count} of ${first}`;
}
