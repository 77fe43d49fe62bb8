/** The options of a schema one by one, for command-line flags, tables and suggestions. */
import { z } from 'zod';

export interface SchemaLeaf {
  /** Dotted, e.g. training.learningRate. */
  readonly path: string;
  readonly description: string;
  readonly default?: unknown;
  /** What values look like: `number`, `true|false`, `a|b|c`, `value`. */
  readonly values: string;
  /** flow_grpo's name for it: what the description ends with in brackets. */
  readonly flowGrpo?: string;
}

interface Node {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly anyOf?: readonly Node[];
}

/** All options that are not groups, in the schema's order. One that takes a list or a group of options is both. */
export function schemaLeaves(schema: z.ZodType): SchemaLeaf[] {
  const walk = (node: Node, path: string): SchemaLeaf[] => {
    if (node.properties) {
      return Object.entries(node.properties).flatMap(([key, child]) =>
        walk(child, path ? `${path}.${key}` : key),
      );
    }
    const description = node.description ?? '';
    const flowGrpo = /\(([^()]*)\)$/.exec(description)?.[1];
    const own = {
      path,
      description,
      default: node.default,
      values: valuesOf(node),
      ...(flowGrpo && { flowGrpo }),
    };
    const branches = node.anyOf ?? [];
    const group = branches.some(({ type }) => type === 'array')
      ? branches.find(({ properties }) => properties)
      : undefined;
    return [own, ...(group ? walk(group, path) : [])];
  };
  return walk(z.toJSONSchema(schema, { io: 'input' }) as Node, '');
}

function valuesOf({ enum: choices, type }: Node): string {
  if (choices) return choices.join('|');
  if (type === 'boolean') return 'true|false';
  return type === 'number' || type === 'integer' ? 'number' : 'value';
}
