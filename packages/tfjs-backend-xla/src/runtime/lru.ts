/** Bounds for what is kept. */
export interface Limits {
  readonly count: number;
  readonly bytes: number;
}

/** What stays when something has to go, so that looking for it is seldom. */
const KEPT_SHARE = 0.75;

interface Entry<V> {
  readonly value: V;
  readonly bytes: number;
  used: number;
}

/** A map that lets go of what was used least recently once it holds too much. */
export class Lru<K, V> {
  private readonly entries = new Map<K, Entry<V>>();
  private clock = 0;
  private held = 0;

  /** @param letGo Frees a value; returns false where that has to wait, because it is in use. */
  constructor(
    private readonly limits: Limits,
    private readonly letGo: (value: V, key: K) => boolean = () => true,
  ) {}

  get size(): number {
    return this.entries.size;
  }

  /** Bytes of all values together. */
  get bytes(): number {
    return this.held;
  }

  /** The value, used now. */
  get(key: K): V | undefined {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    entry.used = ++this.clock;
    return entry.value;
  }

  /** Keeps a value, used now, in place of what that key had; then lets go of others while there is too much. */
  add(key: K, value: V, bytes: number): void {
    const before = this.entries.get(key);
    if (before) {
      if (before.value !== value) this.letGo(before.value, key);
      this.held -= before.bytes;
    }
    this.entries.set(key, { value, bytes, used: ++this.clock });
    this.held += bytes;
    const { count, bytes: most } = this.limits;
    if (this.size > count || this.held > most) this.shrink(KEPT_SHARE * count, KEPT_SHARE * most, key);
  }

  /** Lets go of all that is not in use. */
  clear(): void {
    this.shrink(0, 0);
  }

  private shrink(count: number, bytes: number, newest?: K): void {
    const oldest = [...this.entries].sort(([, a], [, b]) => a.used - b.used);
    for (const [key, entry] of oldest) {
      if (this.size <= count && this.held <= bytes) return;
      if (key === newest || !this.letGo(entry.value, key)) continue;
      this.entries.delete(key);
      this.held -= entry.bytes;
    }
  }
}
