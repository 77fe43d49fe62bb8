import { PickleForeign, PickleTuple } from '../pickle/index';
import { Storage, TorchTensor, UnsupportedTensor } from './storage';

/** Whether a value is of a foreign class and was given tensors, so that it may hold weights. */
export function foreignWithTensors(value: unknown): value is PickleForeign {
  if (!(value instanceof PickleForeign)) return false;
  for (const part of walk(value)) {
    if (part instanceof TorchTensor || part instanceof UnsupportedTensor || part instanceof Storage)
      return true;
  }
  return false;
}

/** The foreign objects inside a value, outermost first. */
export function findForeign(root: unknown): PickleForeign[] {
  const found: PickleForeign[] = [];
  for (const value of walk(root)) if (value instanceof PickleForeign) found.push(value);
  return found;
}

/** A value and all that it holds, each once: what is shared or goes in circles costs nothing. */
function* walk(root: unknown): Generator<unknown> {
  const seen = new Set<unknown>();
  const waiting: unknown[] = [root];
  for (let at = 0; at < waiting.length; at++) {
    const value = waiting[at];
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    yield value;
    for (const part of partsOf(value)) waiting.push(part);
  }
}

function* partsOf(value: object): Generator<unknown> {
  if (value instanceof PickleForeign) yield* value.parts;
  else if (value instanceof PickleTuple) yield* value.items;
  else if (value instanceof Map) {
    for (const entry of value) yield* entry;
  } else if (value instanceof Set || Array.isArray(value)) yield* value;
}
