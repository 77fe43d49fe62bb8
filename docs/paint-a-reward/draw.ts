/** Draws the plane: rewards as colours, points on top. */
import { EXTENT } from './plane';
import { CELLS, type RewardMap } from './reward-map';

/** The plane's point under a pointer. */
export function pointAt(canvas: HTMLCanvasElement, { clientX, clientY }: PointerEvent): [number, number] {
  const box = canvas.getBoundingClientRect();
  return [
    ((clientX - box.left) / box.width) * 2 * EXTENT - EXTENT,
    EXTENT - ((clientY - box.top) / box.height) * 2 * EXTENT,
  ];
}

export function drawPlane(canvas: HTMLCanvasElement, map: RewardMap, points: Float32Array | undefined): void {
  const ratio = window.devicePixelRatio || 1;
  const side = canvas.clientWidth;
  if (canvas.width !== Math.round(side * ratio)) {
    canvas.width = Math.round(side * ratio);
    canvas.height = canvas.width;
  }
  const context = canvas.getContext('2d')!;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, side, side);
  const style = getComputedStyle(document.documentElement);
  const channels = (name: string) => style.getPropertyValue(name).trim();
  const [good, bad, ink] = [channels('--good'), channels('--bad'), channels('--point')];
  // A pixel per cell, enlarged smoothly.
  const [goodBytes, badBytes] = [good, bad].map((color) => color!.split(/\s+/).map(Number));
  const image = new ImageData(CELLS, CELLS);
  for (const [i, value] of map.entries()) {
    image.data.set([...(value > 0 ? goodBytes : badBytes)!, Math.round(153 * Math.abs(value))], 4 * i);
  }
  const small = new OffscreenCanvas(CELLS, CELLS);
  small.getContext('2d')!.putImageData(image, 0, 0);
  context.imageSmoothingQuality = 'high';
  context.drawImage(small, 0, 0, side, side);
  context.fillStyle = `rgb(${ink} / 0.75)`;
  for (let i = 0; i < (points?.length ?? 0); i += 2) {
    const px = ((points![i]! + EXTENT) / (2 * EXTENT)) * side;
    const py = ((EXTENT - points![i + 1]!) / (2 * EXTENT)) * side;
    context.beginPath();
    context.arc(px, py, 2.6, 0, 2 * Math.PI);
    context.fill();
  }
}
