/** The page: a prompt, a seed and a noise level, and what both models make of them. */
import type { DrawMessage, FromWorker, When } from './messages';
import { promptOf } from './prompt';

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const input = (id: string) => element<HTMLInputElement>(id);
const chosen = (id: string) => element<HTMLSelectElement>(id).value;

/** Images of each model: two take a few seconds on WebAssembly. */
const COUNT = 2;
const canvases: Record<When, HTMLCanvasElement[]> = { before: [], after: [] };
const worker = new Worker('worker.js');
let id = 0;
let seed = 4;
let started = 0;

for (const when of ['before', 'after'] as const) {
  for (let i = 0; i < COUNT; i++) {
    const canvas = document.createElement('canvas');
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `Image ${i + 1} ${when} training`);
    element(when).append(canvas);
    canvases[when].push(canvas);
  }
}

const say = (text: string) => {
  element('state').textContent = text;
};

function draw(): void {
  const prompt = promptOf(Number(chosen('count')), chosen('color'), chosen('shape'));
  const noiseLevel = Number(input('noise').value);
  element('prompt').textContent = prompt;
  element('noise-value').textContent = noiseLevel === 0 ? '0 (ODE)' : noiseLevel.toFixed(1);
  id++;
  started = performance.now();
  say('Drawing …');
  worker.postMessage({ id, prompt, count: COUNT, seed, noiseLevel } satisfies DrawMessage);
}

worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
  if (data.kind === 'failed') return say(data.message);
  if (data.kind === 'ready') {
    document.body.dataset.backend = data.backend;
    return draw();
  }
  if (data.id !== id) return;
  const { side, pixels, when } = data;
  for (const [i, canvas] of canvases[when].entries()) {
    canvas.width = side;
    canvas.height = side;
    const size = side * side * 4;
    canvas
      .getContext('2d')!
      .putImageData(new ImageData(pixels.slice(i * size, (i + 1) * size), side, side), 0, 0);
  }
  if (when === 'before') return;
  say(`${2 * COUNT} images in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  document.body.dataset.drawn = String(data.id);
};

worker.onerror = ({ message }) => say(`The model cannot run here: ${message}`);

for (const control of ['count', 'color', 'shape']) element(control).addEventListener('change', draw);
input('noise').addEventListener('change', draw);
element('again').addEventListener('click', () => {
  seed++;
  draw();
});
element('site').hidden = location.protocol === 'file:';
say('Loading the model …');
