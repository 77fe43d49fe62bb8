/** The page: a plane to paint on, and the model's points as they move. */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { drawPlane, pointAt } from './draw';
import type { AlgorithmChoice, FromWorker, ToWorker } from './messages';
import { pointsOf, ring } from './plane';
import { emptyMap, mapOf, paint, presets } from './reward-map';

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const canvas = element<HTMLCanvasElement>('plane');
const input = (id: string) => element<HTMLInputElement>(id);
const RADIUS = 0.6;
const STROKE = 0.35;
/** As many as an epoch draws. */
const POINTS = 64;

let map = mapOf(presets.right!);
let points = pointsOf(ring, POINTS);
let first: Float32Array | undefined;
let running = false;
const EMPTY = element('no-curve').textContent;
const history: [number[], number[]] = [[], []];

const worker = new Worker('worker.js');
const send = (message: ToWorker) => worker.postMessage(message);

/** The learning rate that a slider of powers stands for. */
const learningRate = () => 10 ** Number(input('rate').value);

function draw(): void {
  drawPlane(canvas, map, input('before').checked ? (first ?? points) : points);
}

/** The chart's values; without any, its place says what to do. */
function drawCurve(): void {
  chart.setData(history);
  element('no-curve').hidden = history[0].length > 0;
}

function say(text: string): void {
  element('state').textContent = text;
}

function run(on: boolean): void {
  running = on;
  element('run').textContent = on ? 'Stop' : 'Tune';
  if (!on) {
    element('no-curve').textContent = EMPTY;
    send({ kind: 'stop' });
    return;
  }
  for (const column of history) column.length = 0;
  drawCurve();
  first = undefined;
  say('Starting …');
  element('no-curve').textContent = 'The first epoch is running.';
  const algorithm = element<HTMLSelectElement>('algorithm').value as AlgorithmChoice;
  send({ kind: 'start', algorithm, learningRate: learningRate(), map });
}

function painted(): void {
  send({ kind: 'map', map });
  draw();
}

worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
  if (data.kind === 'failed') {
    run(false);
    say(data.message);
  } else if (data.kind === 'points' && running) {
    ({ points } = data);
    first ??= points;
    history[0].push(data.epoch);
    history[1].push(data.reward);
    drawCurve();
    say(`Epoch ${data.epoch}: mean reward ${data.reward.toFixed(2)}`);
    document.body.dataset.epoch = String(data.epoch);
    document.body.dataset.reward = String(data.reward);
    draw();
  }
};

worker.onerror = ({ message }) => {
  run(false);
  say(`The trainer cannot run here: ${message}`);
};

const style = getComputedStyle(document.documentElement);
const color = (name: string) => style.getPropertyValue(name).trim();
const axis = { stroke: color('--soft'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false } };
const chart = new uPlot(
  {
    width: element('curve').clientWidth,
    height: 170,
    legend: { show: false },
    scales: { x: { time: false } },
    // No half epochs.
    axes: [
      { ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
      { ...axis, size: 46 },
    ],
    series: [{}, { stroke: color('--accent'), width: 2 }],
  },
  history,
  element('curve'),
);

function resize(): void {
  chart.setSize({ width: element('curve').clientWidth, height: 170 });
  draw();
}

function strokes(): void {
  let last: PointerEvent | undefined;
  const stroke = (event: PointerEvent) => {
    const [x, y] = pointAt(canvas, event);
    const sign = event.shiftKey || element<HTMLInputElement>('bad').checked ? -1 : 1;
    paint(map, x, y, RADIUS, sign * STROKE);
    painted();
  };
  canvas.addEventListener('pointerdown', (event) => {
    last = event;
    canvas.setPointerCapture(event.pointerId);
    stroke(event);
  });
  canvas.addEventListener('pointermove', (event) => {
    if (last) stroke(event);
  });
  for (const end of ['pointerup', 'pointercancel'] as const) {
    canvas.addEventListener(end, () => {
      last = undefined;
    });
  }
}

for (const [name, reward] of Object.entries(presets)) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = name;
  button.addEventListener('click', () => {
    map = mapOf(reward);
    painted();
  });
  element('presets').append(button);
}
element('clear').addEventListener('click', () => {
  map = emptyMap();
  painted();
});
element('run').addEventListener('click', () => run(!running));
element('algorithm').addEventListener('change', () => running && run(true));
input('rate').addEventListener('change', () => running && run(true));
input('rate').addEventListener('input', () => {
  element('rate-value').textContent = learningRate().toPrecision(1);
});
input('before').addEventListener('change', draw);
window.addEventListener('resize', resize);
element('site').hidden = location.protocol === 'file:';
element('rate-value').textContent = learningRate().toPrecision(1);
strokes();
draw();
document.body.dataset.ready = 'yes';
