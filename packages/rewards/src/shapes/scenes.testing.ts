/** Rendered scenes, clean and spoiled, for tests of the checker. */
import { type ShapeScene, type ShapeScenesOptions, shapeScenes } from '@flow-grpo/datasets';

/** The first scenes of a stream over both splits. */
export function take(count: number, options: ShapeScenesOptions): ShapeScene[] {
  const scenes = shapeScenes({ split: 'all', seed: 100, ...options });
  return Array.from({ length: count }, (_, i) => scenes.scene(i));
}

/** Blurs (Gaussian, σ 0.8 pixel at 64, growing with the size), then adds noise of σ 0.05 on every channel. */
export function spoil(scene: ShapeScene, seed: number): ShapeScene {
  const { size } = scene;
  const kernel = gaussian((0.8 * size) / 64);
  const image = blurred(blurred(scene.image, size, kernel, 'rows'), size, kernel, 'columns');
  const random = lehmer(seed);
  for (let at = 0; at < image.length; at++) {
    const noise = 0.05 * Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
    image[at] = Math.min(1, Math.max(0, image[at]! + noise));
  }
  return { ...scene, image };
}

function gaussian(sigma: number): number[] {
  const reach = Math.ceil(3 * sigma);
  const heights = Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)),
  );
  const total = heights.reduce((a, b) => a + b);
  return heights.map((height) => height / total);
}

/** One pass of a separable filter; pixels at the edge repeat beyond it. */
function blurred(
  from: Float32Array,
  size: number,
  kernel: readonly number[],
  along: 'rows' | 'columns',
): Float32Array {
  const reach = (kernel.length - 1) / 2;
  const [step, line] = along === 'rows' ? [3, 3 * size] : [3 * size, 3];
  const to = new Float32Array(from.length);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      const target = i * line + j * step;
      for (let k = 0; k < kernel.length; k++) {
        const source = i * line + Math.min(size - 1, Math.max(0, j + k - reach)) * step;
        for (let c = 0; c < 3; c++) to[target + c]! += kernel[k]! * from[source + c]!;
      }
    }
  }
  return to;
}

/** A small seeded source of numbers, apart from the one that draws the scenes. */
function lehmer(seed: number): () => number {
  let state = (seed * 48271 + 11) % 2147483647;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}
