/**
 * Text without the absolute paths of this machine: of each, the last part is left. Pages are shown to others, who need not
 * know where a user keeps files.
 */
export function withoutPaths(text: string): string {
  return text.replace(PATH, (path, before: string) => {
    const name = path
      .slice(before.length)
      .split(/[\\/]+/)
      .filter(Boolean)
      .at(-1);
    return `${before}…/${name}`;
  });
}

/** At least two parts, from a root or a home folder; not the path of a web address. */
const PATH = /(^|[\s"'`(=,[])(?:~|[A-Za-z]:)?(?:[\\/]+[^\s"'`()\\/,:;\]]+){2,}[\\/]*/gm;
