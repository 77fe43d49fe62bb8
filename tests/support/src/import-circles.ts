import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** The relative specifiers of static, type-only and dynamic imports, of re-exports and of `import('…')` types. */
const RELATIVE = /(?:\bfrom|\bimport)\s*\(?\s*['"](\.[^'"]*)['"]/g;

/** The source files, as paths from the repository's root, that `file` imports by a relative path. */
export function importsOf(file: string, text = readFileSync(join(root, file), 'utf8')): string[] {
  return [...text.matchAll(RELATIVE)].flatMap(([, specifier]) => {
    const base = join(dirname(file), specifier!);
    const found = [base, `${base}.ts`, `${base}.tsx`, `${base}/index.ts`].filter((path) =>
      /\.tsx?$/.test(path),
    );
    return found.find((path) => existsSync(join(root, path))) ?? [];
  });
}

/**
 * The groups of files that import each other in circles (strongly connected components of more than one file), each
 * sorted, and sorted by their first.
 */
export function circlesOf(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const circles: string[][] = [];
  const visit = (node: string) => {
    index.set(node, index.size);
    low.set(node, index.get(node)!);
    stack.push(node);
    for (const next of graph.get(node) ?? []) {
      if (!graph.has(next)) continue;
      if (!index.has(next)) visit(next);
      if (stack.includes(next)) low.set(node, Math.min(low.get(node)!, low.get(next)!));
    }
    if (low.get(node) !== index.get(node)) return;
    const circle = stack.splice(stack.indexOf(node));
    if (circle.length > 1) circles.push(circle.sort());
  };
  for (const node of graph.keys()) if (!index.has(node)) visit(node);
  return circles.sort((a, b) => (a[0]! < b[0]! ? -1 : 1));
}
