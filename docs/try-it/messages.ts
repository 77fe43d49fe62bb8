/** What the page and its worker tell each other. */
import type { DrawOptions } from './draw-model';

export interface DrawMessage extends DrawOptions {
  /** Drawings that a later one replaces are left out. */
  readonly id: number;
}

export type When = 'before' | 'after';

export type FromWorker =
  | { readonly kind: 'ready'; readonly backend: string }
  /** RGBA of every image, one below the other. */
  | {
      readonly kind: 'images';
      readonly id: number;
      readonly when: When;
      readonly side: number;
      readonly pixels: Uint8ClampedArray<ArrayBuffer>;
    }
  | { readonly kind: 'failed'; readonly message: string };
