/** What the matrix products and convolutions of a StableHLO program multiply, each kind once, as `bf16 × bf16`. */
export function productTypes(text: string): string[] {
  const products = text.matchAll(
    /stablehlo\.(?:dot_general|convolution)[^\n]*: \(tensor<(?:\d+x)*(\w+)>, tensor<(?:\d+x)*(\w+)>\)/g,
  );
  return [...new Set([...products].map(([, left, right]) => `${left} × ${right}`))].sort();
}
