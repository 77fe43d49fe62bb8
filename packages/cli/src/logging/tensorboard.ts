/** TensorBoard event files: scalars, histograms and images, appended record by record. */
import { appendFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import { maskedCrc32c } from './crc32c';
import { edgesOf, type Histogram, histogramOf } from './histogram';

/** Bytes of a protocol buffer message, field by field. */
class Message {
  private readonly parts: Buffer[] = [];

  varint(field: number, value: number): this {
    this.parts.push(varint(field << 3), varint(value));
    return this;
  }
  double(field: number, value: number): this {
    const body = Buffer.alloc(8);
    body.writeDoubleLE(value);
    this.parts.push(varint((field << 3) | 1), body);
    return this;
  }
  float(field: number, value: number): this {
    const body = Buffer.alloc(4);
    body.writeFloatLE(value);
    this.parts.push(varint((field << 3) | 5), body);
    return this;
  }
  bytes(field: number, value: Uint8Array | string | Message): this {
    const body = value instanceof Message ? value.encode() : Buffer.from(value as Uint8Array);
    this.parts.push(varint((field << 3) | 2), varint(body.length), body);
    return this;
  }
  doubles(field: number, values: readonly number[]): this {
    const body = Buffer.alloc(8 * values.length);
    for (const [i, value] of values.entries()) body.writeDoubleLE(value, 8 * i);
    return this.bytes(field, body);
  }
  encode(): Buffer {
    return Buffer.concat(this.parts);
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** A writer of one event file; every call is on the disk when it returns. */
export interface EventWriter {
  readonly file: string;
  scalars(step: number, values: Readonly<Record<string, number>>): void;
  /** Of the finite values; nothing is written when there is none. */
  histogram(step: number, tag: string, values: ArrayLike<number>): void;
  image(step: number, tag: string, png: Uint8Array, width: number, height: number): void;
}

/**
 * Opens a new event file in `folder`. Format: TFRecord framing (length, masked CRC-32C, data, masked CRC-32C) of
 * `tensorflow.Event` messages; TensorBoard and `wandb sync` read it.
 */
export function eventWriter(folder: string, now: () => number = () => Date.now() / 1000): EventWriter {
  makeFolder(folder);
  const started = now();
  const unique = `${Math.floor(started)}.${hostname()}.${process.pid}.${Math.floor((started % 1) * 1e6)}`;
  const file = join(folder, `events.out.tfevents.${unique}`);
  const write = (event: Message) => {
    const data = event.encode();
    const header = Buffer.alloc(12);
    header.writeBigUInt64LE(BigInt(data.length));
    header.writeUInt32LE(maskedCrc32c(header.subarray(0, 8)), 8);
    const footer = Buffer.alloc(4);
    footer.writeUInt32LE(maskedCrc32c(data));
    appendFileSync(file, Buffer.concat([header, data, footer]));
  };
  const event = (step: number, values: readonly Message[]) => {
    const summary = new Message();
    for (const value of values) summary.bytes(1, value);
    write(new Message().double(1, now()).varint(2, step).bytes(5, summary));
  };
  write(new Message().double(1, started).bytes(3, 'brain.Event:2'));
  return {
    file,
    scalars: (step, values) =>
      event(
        step,
        Object.entries(values).map(([tag, value]) => new Message().bytes(1, tag).float(2, value)),
      ),
    histogram: (step, tag, values) => {
      const finite = Array.from(values).filter(Number.isFinite);
      const histogram = histogramOf(finite);
      if (histogram) event(step, [new Message().bytes(1, tag).bytes(5, histogramMessage(finite, histogram))]);
    },
    image: (step, tag, png, width, height) =>
      event(step, [
        new Message()
          .bytes(1, tag)
          .bytes(4, new Message().varint(1, height).varint(2, width).varint(3, 3).bytes(4, png)),
      ]),
  };
}

/** `tensorflow.HistogramProto` of finite values. */
function histogramMessage(values: readonly number[], histogram: Histogram): Message {
  const sum = (f: (value: number) => number) => values.reduce((total, value) => total + f(value), 0);
  // The last bucket ends beyond it where all values are equal, and may end a rounding before it.
  const max = values.reduce((most, value) => Math.max(most, value));
  const limits = edgesOf(histogram).slice(1);
  limits.push(Math.max(max, limits.pop()!));
  return new Message()
    .double(1, histogram.low)
    .double(2, max)
    .double(3, values.length)
    .double(
      4,
      sum((value) => value),
    )
    .double(
      5,
      sum((value) => value * value),
    )
    .doubles(6, limits)
    .doubles(7, histogram.counts);
}
