/** How busy the devices are: floating-point operations of the compiled programs, and what a device could do. */
import { deviceInfo, hasCompiler, type Jitted } from '@flow-grpo/tfjs-jit';

/** Adds up floating-point operations. */
export interface FlopCounter {
  /** The function, its calls counted. Their arguments must have the same shapes always. */
  count<A extends unknown[], R>(f: Jitted<A, R>): Counted<A, R>;
  /** Calls `work`, which only plans: the operations in it do not count. */
  uncounted<T>(work: () => T): T;
  /** Operations of all calls since this was asked last, all devices together; undefined where programs cannot be counted. */
  take(): number | undefined;
}

/** A function whose calls are counted. */
export interface Counted<A extends unknown[], R> {
  (...args: A): R;
  async(...args: A): Promise<R>;
}

/** Counts where programs are compiled; elsewhere `take` gives undefined. */
export function flopCounter(): FlopCounter {
  let total = 0;
  return {
    count(f) {
      let flops: number | undefined;
      const counted =
        <T>(call: (...args: Parameters<typeof f>) => T) =>
        (...args: Parameters<typeof f>): T => {
          if (hasCompiler()) {
            flops ??= f.lower(...args).flops;
            total += flops;
          }
          return call(...args);
        };
      return Object.assign(counted(f), { async: counted(f.async) });
    },
    uncounted(work) {
      const before = total;
      try {
        return work();
      } finally {
        total = before;
      }
    },
    take() {
      const taken = hasCompiler() ? total : undefined;
      total = 0;
      return taken;
    },
  };
}

/**
 * Peak TFLOP/s of dense bfloat16 products with float32 sums, by a part of the device's name; the first that fits.
 *
 * Source: NVIDIA's data sheets, without sparsity.
 */
const PEAKS: readonly (readonly [RegExp, number])[] = [
  [/GB200|B200/, 2250],
  [/GH200|H200|H100 80GB|H100 SXM|H800/, 989],
  [/H100 NVL/, 835],
  [/H100 PCIe/, 756],
  [/A100|A800/, 312],
  [/A30/, 165],
  [/L40S/, 362],
  [/L40/, 181],
  [/A40/, 150],
  [/A10G|A10\b/, 125],
  [/L4\b/, 121],
];

/** One device's peak in TFLOP/s; undefined for devices that are not known, such as CPUs. */
export function peakTflopsOf(kind: string): number | undefined {
  return PEAKS.find(([name]) => name.test(kind))?.[1];
}

/** The peak of the device that the current backend runs on. */
export function currentPeakTflops(): number | undefined {
  return hasCompiler() ? peakTflopsOf(deviceInfo()[0]?.kind ?? '') : undefined;
}

/**
 * Numbers of an epoch: `tflops`, TFLOP/s of one device as a mean over the whole epoch, waiting included, and `mfu`, its
 * share of the peak. Both are left out where they are not known.
 */
export function utilisation(
  flops: number | undefined,
  seconds: number,
  devices: number,
  peakTflops: number | undefined,
): { tflops?: number; mfu?: number } {
  if (flops === undefined) return {};
  const tflops = flops / seconds / devices / 1e12;
  return { tflops, ...(peakTflops !== undefined && { mfu: tflops / peakTflops }) };
}
