/** What the two threads say to each other. */

/** One picture that somebody asked for. */
export interface Order {
  readonly prompt: string;
  readonly seed: number;
  readonly steps: number;
}

export interface DrawMessage {
  readonly id: number;
  readonly order: Order;
  /** One int32: not 0 once nobody waits for the picture any more. The drawing thread looks at it between steps. */
  readonly cancelled: SharedArrayBuffer;
}

/** `tensors` are those that the thread holds when an order is done: the model's, always the same number. */
export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'drawn'; readonly id: number; readonly png: Uint8Array; readonly tensors: number }
  | { readonly kind: 'failed'; readonly id: number; readonly message: string; readonly tensors: number };

/** What the drawing thread is started with. */
export interface WorkerSettings {
  /** Folder or hub id of a Show-o2 model. */
  readonly model: string;
  /** Folder of low-rank adapters, such as a run's `adapter`. */
  readonly adapter: string | undefined;
  /** Pixels along a side; the model's own by default. */
  readonly size?: number | undefined;
}
