/**
 * The matrix products of a denoising step, each alone: what of the step they take, how near each shape comes to what the
 * device can do, and what 8-bit floats (e4m3) would make of them.
 */
import { createClient, type PjrtBuffer, type PjrtClient, type PjrtExecutable } from '@flow-grpo/pjrt';
import type { Showo2Config } from '@flow-grpo/showo2-model';
import { report } from '../reporting';
import { type Times, timedRounds } from '../timing';
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

type Element = 'bf16' | 'f8E4M3FN';

/** Products of bfloat16; of e4m3; and of bfloat16 rows that are cast to e4m3 first, with a scale for each output. */
const KINDS: Readonly<Record<string, { readonly rows: Element; readonly weights: Element }>> = {
  bfloat16: { rows: 'bf16', weights: 'bf16' },
  float8: { rows: 'f8E4M3FN', weights: 'f8E4M3FN' },
  float8Cast: { rows: 'bf16', weights: 'f8E4M3FN' },
};

export async function gemms({ showo2, batch, rounds }: Workload): Promise<void> {
  const client = await createClient({ preallocate: false });
  const kinds = Object.entries(KINDS);
  const step = Object.fromEntries(kinds.map(([kind]) => [kind, 0]));
  let flops = 0;
  for (const gemm of gemmsOfStep(showo2, 2 * batch)) {
    const { name, ...sizes } = gemm;
    const operations = 2 * gemm.rows * gemm.inputs * gemm.outputs;
    const operands = await make(client, gemm);
    const measured: Record<string, number> = {};
    for (const [kind, { rows: given, weights: stored }] of kinds) {
      const program = await client.compile(productText(gemm, given, stored), { debugOptions: OPTIONS });
      const { ms } = await time(program, [operands.rows[given], operands.weights[stored]], rounds);
      measured[kind] = ms;
      measured[`${kind}Tflops`] = operations / ms / 1e9;
      step[kind]! += gemm.count * ms;
      program.dispose();
    }
    flops += gemm.count * operations;
    for (const buffers of Object.values(operands))
      for (const buffer of Object.values(buffers)) buffer.dispose();
    report(`gemms.${name}`, { ...sizes, ...measured });
  }
  report('gemms.step', { ...step, bfloat16Tflops: flops / step.bfloat16! / 1e9 });
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

type Operand = Readonly<Record<Element, PjrtBuffer>>;

/** Both operands in both types, without a constant: the power that a product takes depends on its values. */
async function make(
  client: PjrtClient,
  { rows, inputs, outputs }: Gemm,
): Promise<{ rows: Operand; weights: Operand }> {
  const values = (name: string, shape: string, size: number, step: number) => `
    %${name}i = stablehlo.iota dim = 0 : tensor<${size}xf32>
    %${name}s = stablehlo.constant dense<${step}> : tensor<${size}xf32>
    %${name}m = stablehlo.multiply %${name}i, %${name}s : tensor<${size}xf32>
    %${name}w = stablehlo.sine %${name}m : tensor<${size}xf32>
    %${name}r = stablehlo.reshape %${name}w : (tensor<${size}xf32>) -> tensor<${shape}xf32>
    %${name} = stablehlo.convert %${name}r : (tensor<${shape}xf32>) -> tensor<${shape}xbf16>
    %${name}8 = stablehlo.convert %${name} : (tensor<${shape}xbf16>) -> tensor<${shape}xf8E4M3FN>`;
  const [x, w] = [`${rows}x${inputs}`, `${outputs}x${inputs}`];
  const types = [`tensor<${x}xbf16>`, `tensor<${x}xf8E4M3FN>`, `tensor<${w}xbf16>`, `tensor<${w}xf8E4M3FN>`];
  const program = await client.compile(`module {
  func.func @main() -> (${types}) {${values('x', x, rows * inputs, 0.7368)}${values('w', w, outputs * inputs, 1.3179)}
    return %x, %x8, %w, %w8 : ${types}
  }
}`);
  const [made] = program.execute([[]]);
  await made![0]!.ready();
  program.dispose();
  const operand = (first: number): Operand => ({ bf16: made![first]!, f8E4M3FN: made![first + 1]! });
  return { rows: operand(0), weights: operand(2) };
}

/** The product as StableHLO: x wᵀ in bfloat16. */
function productText({ rows, inputs, outputs }: Gemm, given: Element, stored: Element): string {
  const x = (type: Element) => `tensor<${rows}x${inputs}x${type}>`;
  const w = `tensor<${outputs}x${inputs}x${stored}>`;
  const y = `tensor<${rows}x${outputs}xbf16>`;
  const product = (operand: string) => `
    %p = stablehlo.dot_general ${operand}, %w, contracting_dims = [1] x [1] : (${x(stored)}, ${w}) -> ${y}`;
  const castAndScaled = `
    %l = stablehlo.constant dense<${LARGEST}.0> : ${x('bf16')}
    %n = stablehlo.negate %l : ${x('bf16')}
    %c = stablehlo.clamp %n, %x, %l : ${x('bf16')}
    %q = stablehlo.convert %c : (${x('bf16')}) -> ${x(stored)}${product('%q')}
    %f = stablehlo.constant dense<0.0123> : tensor<${outputs}xbf16>
    %b = stablehlo.broadcast_in_dim %f, dims = [1] : (tensor<${outputs}xbf16>) -> ${y}
    %r = stablehlo.multiply %p, %b : ${y}`;
  const [body, result] = given === stored ? [product('%x'), '%p'] : [castAndScaled, '%r'];
  return `module {
  func.func @main(%x: ${x(given)}, %w: ${w}) -> ${y} {${body}
    return ${result} : ${y}
  }
}`;
}

function time(program: PjrtExecutable, operands: readonly PjrtBuffer[], rounds: number): Promise<Times> {
  const round = async () => {
    const run = () => program.execute([operands])[0]![0]!;
    let last = run();
    for (let call = 1; call < CALLS; call++) {
      last.dispose();
      last = run();
    }
    await last.ready();
    return last;
  };
  return timedRounds(round, CALLS, { rounds }, (last) => last.dispose());
}
