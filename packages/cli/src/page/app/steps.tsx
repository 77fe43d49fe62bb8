/** Inside an epoch: advantages and rewards as histograms, ratios by timestep, and where its time goes. */
import { Chart, histogramLine, type Line, type Zoom } from '@flow-grpo/page-components/chart';
import { Slider } from '@flow-grpo/page-components/controls';
import { duration } from '@flow-grpo/page-components/numbers';
import { type Theme, useTheme } from '@flow-grpo/page-components/theme';
import { useState } from 'preact/hooks';
import type { HistogramData, RunData } from '../run-data';
import type { CurveStyle } from './curves';
import { PHASES, phaseMeans } from './insight';
import { colorOf, smoothedLines, X_LABELS, xOf } from './lines';

export function Histograms({ run }: { run: RunData }) {
  const [place, setPlace] = useState<number | undefined>();
  const { histograms } = run;
  if (histograms.length === 0) return <p class="empty">No epoch has finished yet.</p>;
  const at = Math.min(place ?? histograms.length - 1, histograms.length - 1);
  const [first, now] = [histograms[0]!, histograms[at]!];
  const lines = (part: 'advantages' | 'rewards') =>
    [first, ...(now === first ? [] : [now])].flatMap((record, i) =>
      histogramOf(record, part, i === 0 ? '--run-1' : '--run-0'),
    );
  return (
    <>
      <div class="toolbar">
        <Slider
          label="Epoch"
          value={at}
          max={histograms.length - 1}
          text={`epoch ${now.epoch}, compared with epoch ${first.epoch}`}
          onInput={(value) => setPlace(value === histograms.length - 1 ? undefined : value)}
        />
      </div>
      <div class="charts">
        <Chart
          title="Advantages"
          note="Share of images; the advantage weights an image's gradient"
          lines={lines('advantages')}
          xLabel="advantage"
          sync="advantages"
        />
        <Chart
          title="Rewards"
          note="Share of images"
          lines={lines('rewards')}
          xLabel="reward"
          sync="rewards"
        />
      </div>
    </>
  );
}

function histogramOf(record: HistogramData, part: 'advantages' | 'rewards', color: string): Line[] {
  const histogram = record[part];
  return histogram ? [histogramLine(histogram, `epoch ${record.epoch}`, color)] : [];
}

/** Numbers that a run has for each timestep, as `NAME.STEP.mean` and `NAME.STEP.p99`. */
const STEP_METRICS: Readonly<Record<string, { title: string; note: string }>> = {
  ratio: {
    title: 'Ratio by timestep',
    note: 'New over old probability of a step; 1 if the policy has not changed',
  },
  logProbMismatch: {
    title: 'Rollout against update, by timestep',
    note: 'Difference of their log-probabilities, which comes from rounding in two programs',
  },
};

/** The steps of each number, in their order. */
export function stepsOf(names: Iterable<string>): Map<string, number[]> {
  const found = new Map<string, Set<number>>();
  for (const name of names) {
    const match = /^(.+)\.(\d+)\.mean$/.exec(name);
    if (match) found.set(match[1]!, (found.get(match[1]!) ?? new Set()).add(Number(match[2])));
  }
  // Those with a title in their order, then others.
  const known = Object.keys(STEP_METRICS).filter((name) => found.has(name));
  const ordered = [
    ...known,
    ...[...found.keys()].filter((name) => !Object.hasOwn(STEP_METRICS, name)).sort(),
  ];
  return new Map(ordered.map((name) => [name, [...found.get(name)!].sort((a, b) => a - b)]));
}

/** From violet, where there is noise, to amber, where there is data: neighbours look alike, the ends do not. */
const stepColor = (share: number, theme: Theme) =>
  `oklch(${theme === 'dark' ? 0.8 : 0.55} 0.15 ${285 + 135 * share})`;

export function StepCharts({ run, style, zoom }: { run: RunData; style: CurveStyle; zoom: Zoom }) {
  const steps = stepsOf(Object.keys(run.metrics));
  const x = xOf(run, style.axis);
  const theme = useTheme();
  const charts = [...steps].flatMap(([name, places]) =>
    (['mean', 'p99'] as const).map((part) => {
      const lines = places.map(
        (step, i): Line => ({
          label: `step ${step}`,
          x,
          y: run.metrics[`${name}.${step}.${part}`] ?? [],
          color: stepColor(places.length > 1 ? i / (places.length - 1) : 0, theme),
        }),
      );
      const { title = name, note } = STEP_METRICS[name] ?? {};
      return (
        <Chart
          key={`${name}.${part}`}
          title={`${title}, ${part === 'mean' ? 'mean' : '99th percentile'}`}
          note={note}
          lines={smoothedLines(lines, style.smoothing)}
          xLabel={X_LABELS[style.axis]}
          zoom={zoom}
          log={style.log}
        />
      );
    }),
  );
  return charts.length > 0 ? (
    <div class="charts">{charts}</div>
  ) : (
    <p class="empty">This algorithm reports no numbers by timestep.</p>
  );
}

export function TimeOfEpoch({ run, style, zoom }: { run: RunData; style: CurveStyle; zoom: Zoom }) {
  const phases = phaseMeans(run);
  if (phases.length === 0) return <p class="empty">No epoch has finished yet.</p>;
  const x = xOf(run, style.axis);
  const lines = Object.entries(PHASES).flatMap(([key, label], i): Line[] => {
    const y = run.metrics[key];
    return y ? [{ label, x, y, color: colorOf(i) }] : [];
  });
  return (
    <div class="charts">
      <figure class="chart">
        <figcaption>
          <b>Where an epoch's time goes</b>
          <small>Mean per epoch, without the first one, which compiles</small>
        </figcaption>
        <dl class="bars">
          {phases.map(({ name, seconds, share }, i) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>
                <span class="bar" style={{ width: `${100 * share}%`, background: `var(${colorOf(i)})` }} />
                {duration(seconds)}, {(100 * share).toFixed(0)} %
              </dd>
            </div>
          ))}
        </dl>
      </figure>
      <Chart
        title="Seconds per epoch"
        lines={smoothedLines(lines, style.smoothing)}
        xLabel={X_LABELS[style.axis]}
        zoom={zoom}
        log={style.log}
      />
    </div>
  );
}
