/**
 * The matrix products of a denoising step, each alone: what of the step they take, how near each shape comes to what the
 * device can do, and what 8-bit floats (e4m3) would make of them.
 */
import { createClient, type PjrtBuffer, type PjrtClient, type PjrtExecutable } from '@flow-grpo/pjrt';
import type { Showo2Config } from '@flow-grpo/showo2-model';
import { report } from '../reporting';
import { summary, type Times } from '../timing';
import type { Workload } from '../workload';

/** Products of `rows` rows by weights [inputs, outputs], `count` of them in a step. */
export interface Gemm {
  readonly name: string;
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly count: number;
}

/** Calls before one wait. */
const CALLS = 20;
/** Largest e4m3 number. */
const LARGEST = 448;

export async function gemms({ showo2, batch, rounds }: Workload): Promise<void> {
  const client = await createClient({ preallocate: false });
  const kinds = ['bfloat16', 'float8', 'float8Cast'] as const;
  const total = { bfloat16: 0, float8: 0, float8Cast: 0 };
  let flops = 0;
  for (const gemm of gemmsOfStep(showo2, 2 * batch)) {
    const { name, rows, inputs, outputs, count } = gemm;
    const operations = 2 * rows * inputs * outputs;
    const operands = await make(client, gemm);
    const ms: Record<string, number> = {};
    for (const kind of kinds) {
      const program = await client.compile(productText(gemm, kind), { debugOptions: OPTIONS });
      const given =
        kind === 'float8'
          ? [operands[2]!, operands[3]!]
          : [operands[0]!, operands[kind === 'bfloat16' ? 1 : 3]!];
      ms[kind] = (await time(program, given, rounds)).ms;
      total[kind] += count * ms[kind];
      program.dispose();
    }
    flops += count * operations;
    for (const operand of operands) operand.dispose();
    const tflops = Object.fromEntries(kinds.map((kind) => [`${kind}Tflops`, operations / ms[kind]! / 1e9]));
    report(`gemms.${name}`, { rows, inputs, outputs, count, ...ms, ...tflops });
  }
  report('gemms.step', { ...total, bfloat16Tflops: flops / total.bfloat16 / 1e9 });
  client.dispose();
}

/** As the backend compiles for GPUs. */
const OPTIONS = { xla_gpu_enable_triton_gemm: false };

/** The trunk's, the head's and the vision tower's linear layers for `images` rows of image tokens; text is computed once. */
export function gemmsOfStep(config: Showo2Config, images: number): Gemm[] {
  const tokens = config.gridHeight * config.gridWidth;
  const { trunk, head, vision } = config;
  const layers = (
    name: string,
    rows: number,
    { hiddenSize, layers, heads, kvHeads, headDim, intermediateSize }: typeof trunk | typeof head,
  ): Gemm[] => [
    { name: `${name}.query`, rows, inputs: hiddenSize, outputs: heads * headDim, count: layers },
    { name: `${name}.keyValue`, rows, inputs: hiddenSize, outputs: kvHeads * headDim, count: 2 * layers },
    { name: `${name}.output`, rows, inputs: heads * headDim, outputs: hiddenSize, count: layers },
    { name: `${name}.gateUp`, rows, inputs: hiddenSize, outputs: intermediateSize, count: 2 * layers },
    { name: `${name}.down`, rows, inputs: intermediateSize, outputs: hiddenSize, count: layers },
  ];
  const { hiddenSize: width, intermediateSize } = vision;
  // Both branches of guidance see the same image.
  const seen = (images / 2) * tokens;
  return [
    ...layers('trunk', images * (tokens + 1), trunk),
    ...layers('head', images * (tokens + 1), head),
    { name: 'vision.attention', rows: seen, inputs: width, outputs: width, count: 4 * vision.layers },
    { name: 'vision.up', rows: seen, inputs: width, outputs: intermediateSize, count: vision.layers },
    { name: 'vision.down', rows: seen, inputs: intermediateSize, outputs: width, count: vision.layers },
  ];
}

/** Rows and weights in bfloat16, then both in e4m3: no constants, since the power that a product takes depends on its values. */
async function make(client: PjrtClient, { rows, inputs, outputs }: Gemm): Promise<PjrtBuffer[]> {
  const values = (name: string, shape: string, size: number, step: number) => `
    %${name}i = stablehlo.iota dim = 0 : tensor<${size}xf32>
    %${name}s = stablehlo.constant dense<${step}> : tensor<${size}xf32>
    %${name}m = stablehlo.multiply %${name}i, %${name}s : tensor<${size}xf32>
    %${name}w = stablehlo.sine %${name}m : tensor<${size}xf32>
    %${name}r = stablehlo.reshape %${name}w : (tensor<${size}xf32>) -> tensor<${shape}xf32>
    %${name} = stablehlo.convert %${name}r : (tensor<${shape}xf32>) -> tensor<${shape}xbf16>
    %${name}8 = stablehlo.convert %${name} : (tensor<${shape}xbf16>) -> tensor<${shape}xf8E4M3FN>`;
  const [x, w] = [`${rows}x${inputs}`, `${outputs}x${inputs}`];
  const types = [`tensor<${x}xbf16>`, `tensor<${w}xbf16>`, `tensor<${x}xf8E4M3FN>`, `tensor<${w}xf8E4M3FN>`];
  const program = await client.compile(`module {
  func.func @main() -> (${types}) {${values('x', x, rows * inputs, 0.7368)}${values('w', w, outputs * inputs, 1.3179)}
    return %x, %w, %x8, %w8 : ${types}
  }
}`);
  const [made] = program.execute([[]]);
  await made![0]!.ready();
  program.dispose();
  return made!;
}

/** x wᵀ in bfloat16; of e4m3 operands; and of bfloat16 rows that are cast to e4m3 first, with a scale for each output. */
function productText({ rows, inputs, outputs }: Gemm, kind: 'bfloat16' | 'float8' | 'float8Cast'): string {
  const x = (type: string) => `tensor<${rows}x${inputs}x${type}>`;
  const w = `tensor<${outputs}x${inputs}x${kind === 'bfloat16' ? 'bf16' : 'f8E4M3FN'}>`;
  const y = `tensor<${rows}x${outputs}xbf16>`;
  const [given, multiplied] =
    kind === 'bfloat16'
      ? ['bf16', 'bf16']
      : kind === 'float8'
        ? ['f8E4M3FN', 'f8E4M3FN']
        : ['bf16', 'f8E4M3FN'];
  const cast = `
    %l = stablehlo.constant dense<${LARGEST}.0> : ${x('bf16')}
    %n = stablehlo.negate %l : ${x('bf16')}
    %c = stablehlo.clamp %n, %x, %l : ${x('bf16')}
    %q = stablehlo.convert %c : (${x('bf16')}) -> ${x('f8E4M3FN')}`;
  const product = `
    %p = stablehlo.dot_general ${given === multiplied ? '%x' : '%q'}, %w, contracting_dims = [1] x [1] : (${x(multiplied)}, ${w}) -> ${y}`;
  const scale = `
    %f = stablehlo.constant dense<0.0123> : tensor<${outputs}xbf16>
    %b = stablehlo.broadcast_in_dim %f, dims = [1] : (tensor<${outputs}xbf16>) -> ${y}
    %r = stablehlo.multiply %p, %b : ${y}`;
  const all = given === multiplied ? product : cast + product + scale;
  return `module {
  func.func @main(%x: ${x(given)}, %w: ${w}) -> ${y} {${all}
    return ${given === multiplied ? '%p' : '%r'} : ${y}
  }
}`;
}

async function time(
  program: PjrtExecutable,
  operands: readonly PjrtBuffer[],
  rounds: number,
): Promise<Times> {
  const samples: number[] = [];
  const warm = 2;
  for (let round = 0; round < warm + rounds; round++) {
    const began = performance.now();
    let last: PjrtBuffer | undefined;
    for (let call = 0; call < CALLS; call++) {
      last?.dispose();
      last = program.execute([operands])[0]![0]!;
    }
    await last!.ready();
    if (round >= warm) samples.push((performance.now() - began) / CALLS);
    last!.dispose();
  }
  return summary(samples);
}
