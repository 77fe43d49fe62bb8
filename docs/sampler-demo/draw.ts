import { marginalDensity } from './mixture';
import { bins, extent, histogram, type Simulation } from './simulate';

const theme = getComputedStyle(document.documentElement);
const channels = (name: string) => theme.getPropertyValue(name).trim().split(/\s+/).map(Number);
const [from, to, glow] = ['--from', '--to', '--glow'].map(channels) as [number[], number[], number[]];
const ink = theme.getPropertyValue('--ink');

/** From noise to data: violet to amber. */
function colour(t: number, alpha: number): string {
  const mixed = from.map((channel, i) => Math.round(channel + (to[i]! - channel) * t));
  return `rgba(${mixed.join(', ')}, ${alpha})`;
}

/** A canvas at the screen's own resolution, cleared; returns its CSS size. */
function begin(canvas: HTMLCanvasElement) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== width * ratio || canvas.height !== height * ratio) {
    canvas.width = width * ratio;
    canvas.height = height * ratio;
  }
  const context = canvas.getContext('2d')!;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** The particles at a (fractional) frame, with the ways of the first few so far. */
export function drawPlane(
  canvas: HTMLCanvasElement,
  run: Simulation,
  position: number,
  trails: number,
): void {
  const { context, width, height } = begin(canvas);
  const scale = Math.min(width, height) / (2 * extent);
  const px = (x: number) => width / 2 + x * scale;
  const py = (y: number) => height / 2 - y * scale;
  const frame = Math.min(Math.floor(position), run.frames.length - 2);
  const part = position - frame;

  context.fillStyle = `rgba(${glow.join(', ')}, 0.07)`;
  for (const [x, y] of run.settings.mixture.centres) {
    context.beginPath();
    context.arc(px(x), py(y), 2 * run.settings.mixture.std * scale, 0, 2 * Math.PI);
    context.fill();
  }

  const at = (f: number, i: number) => run.frames[f]![i]!;
  const between = (i: number) => at(frame, i) * (1 - part) + at(frame + 1, i) * part;
  context.lineWidth = 1.2;
  context.lineJoin = 'round';
  for (let f = 0; f <= frame; f++) {
    context.strokeStyle = colour(run.times[f]!, 0.5);
    context.beginPath();
    for (let k = 0; k < trails; k++) {
      context.moveTo(px(at(f, 2 * k)), py(at(f, 2 * k + 1)));
      if (f < frame) context.lineTo(px(at(f + 1, 2 * k)), py(at(f + 1, 2 * k + 1)));
      else context.lineTo(px(between(2 * k)), py(between(2 * k + 1)));
    }
    context.stroke();
  }

  const time = run.times[frame]! * (1 - part) + run.times[frame + 1]! * part;
  context.fillStyle = colour(time, 0.75);
  for (let i = 0; i < run.frames[0]!.length; i += 2) {
    context.beginPath();
    context.arc(px(between(i)), py(between(i + 1)), i / 2 < trails ? 3 : 1.7, 0, 2 * Math.PI);
    context.fill();
  }
}

/** The particles' histogram along the horizontal axis over the exact density of the same time. */
export function drawMarginal(canvas: HTMLCanvasElement, run: Simulation, frame: number): void {
  const { context, width, height } = begin(canvas);
  const t = run.times[frame]!;
  const bars = histogram(run.frames[frame]!);
  const points = Array.from({ length: 161 }, (_, i) => -extent + (i / 160) * 2 * extent);
  const exact = points.map((x) => marginalDensity(run.settings.mixture, t, x));
  const top = 1.12 * Math.max(...bars, ...exact);
  const y = (density: number) => height - 2 - (density / top) * (height - 6);
  context.fillStyle = colour(t, 0.55);
  bars.forEach((density, i) => {
    context.fillRect((i / bins) * width + 1, y(density), width / bins - 2, height - y(density));
  });
  context.strokeStyle = ink;
  context.lineWidth = 1.8;
  context.beginPath();
  exact.forEach((density, i) => {
    context.lineTo((i / 160) * width, y(density));
  });
  context.stroke();
}

/** The mean log-probability of every step; steps that draw nothing are hollow. */
export function drawLogProbs(canvas: HTMLCanvasElement, run: Simulation, frame: number): void {
  const { context, width, height } = begin(canvas);
  const values = run.logProbs.filter((value) => value !== null);
  const [low, high] = [Math.min(0, ...values), Math.max(0.5, ...values)];
  const x = (i: number) => 8 + ((i + 0.5) / run.logProbs.length) * (width - 16);
  const y = (value: number) => 8 + ((high - value) / (high - low)) * (height - 16);
  context.strokeStyle = `rgba(${glow.join(', ')}, 0.3)`;
  context.beginPath();
  context.moveTo(0, y(0));
  context.lineTo(width, y(0));
  context.stroke();
  run.logProbs.forEach((value, i) => {
    context.beginPath();
    context.arc(x(i), y(value ?? 0), i === Math.min(frame, run.logProbs.length - 1) ? 5 : 3, 0, 2 * Math.PI);
    if (value === null) {
      context.stroke();
    } else {
      context.fillStyle = colour(run.times[i]!, 0.95);
      context.fill();
    }
  });
}
