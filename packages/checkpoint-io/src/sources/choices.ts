import { checkpointFiles, onlyCheckpoint } from '../open';

/** What is read of a folder or repository under one role: a file, or a checkpoint with its shards. */
export interface FileChoice {
  /** In words, for errors: `config.json`. */
  readonly what: string;
  /** Loading works without it. */
  readonly optional?: boolean;
  /** A source that is a single file is this one; files of other roles lie beside it. */
  readonly main?: boolean;
  /**
   * The names taken, of all names of the folder (paths in it, with `/`): the one to open first; none where it is
   * missing. `file` is the one that the source itself is.
   */
  readonly choose: (names: readonly string[], file?: string) => readonly string[];
}

/** The first of these names that is there. */
export const fileChoice = (...names: string[]): FileChoice => ({
  what: names.join(' or '),
  choose: (all) => names.filter((name) => all.includes(name)).slice(0, 1),
});

/** Any file under this name; a source that is a file stands for it, whatever its name. */
export const mainFileChoice = (name: string): FileChoice => ({ ...fileChoice(name), main: true });

/** All files that fit, at least one; a source that is a file stands for them. */
export const allMatching = (pattern: RegExp, what: string): FileChoice => ({
  what,
  main: true,
  choose: (all) => all.filter((name) => pattern.test(name)),
});

/** The checkpoint that `openCheckpoint` would read of the folder, with its shards. */
export const checkpointChoice = (): FileChoice => ({
  what: 'weights (model.safetensors or pytorch_model.bin)',
  main: true,
  choose: (all) => {
    const here = all.filter((name) => !name.includes('/'));
    const known = checkpointFiles(here);
    return known.length > 0 ? known : onlyCheckpoint(here);
  },
});

export const optionalChoice = (choice: FileChoice): FileChoice & { readonly optional: true } => ({
  ...choice,
  optional: true,
});

/** The same in a folder of the source. */
export const folderChoice = (folder: string, choice: FileChoice): FileChoice => {
  const prefix = `${folder}/`;
  return {
    ...choice,
    main: false,
    what: prefix + choice.what,
    choose: (all) => {
      const inside = all.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
      return choice.choose(inside).map((name) => prefix + name);
    },
  };
};

/** The first of several choices that finds something. */
export const firstChoice = (...choices: readonly FileChoice[]): FileChoice => ({
  what: choices.map(({ what }) => what).join(' or '),
  main: choices.some(({ main }) => main),
  choose: (all) => choices.map((choice) => choice.choose(all)).find((names) => names.length > 0) ?? [],
});
