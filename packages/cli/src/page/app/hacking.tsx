/** The watch on reward hacking, beside the reward. */
import { Chart, type Zoom } from '@flow-grpo/page-components/chart';
import { type CurveStyle, RewardChart } from './curves';
import { metricLines, type ShownRun, X_LABELS } from './lines';

/** Numbers of the watch among an epoch's numbers: of the images themselves, and of the model. */
const WATCHED: Readonly<Record<string, string>> = {
  'images.brightness': 'Brightness',
  'images.nearBlack': 'Near-black pixels',
  'images.nearWhite': 'Near-white pixels',
  'images.edgeDensity': 'Edges',
  'images.sharpness': 'Sharpness',
  'images.colorEntropy': 'Colours',
  'images.diversity': 'Diversity within a prompt',
  velocityNorm: 'Norm of the velocity',
  velocityChange: 'Change of the velocity per epoch',
  velocityKl: 'Velocity KL from the start',
};

/** Those that a run has, in the order of the list; statistics of a later version come after them. */
export function watched(names: Iterable<string>): string[] {
  const there = new Set(names);
  const others = [...there].filter((name) => name.startsWith('images.') && !Object.hasOwn(WATCHED, name));
  return [...Object.keys(WATCHED).filter((name) => there.has(name)), ...others.sort()];
}

const textOf = (name: string) => WATCHED[name] ?? name;

export function Hacking({ runs, style, zoom }: { runs: readonly ShownRun[]; style: CurveStyle; zoom: Zoom }) {
  const names = watched(runs.flatMap(({ run }) => Object.keys(run.metrics)));
  if (names.length === 0) return <p class="empty">This run's metrics have no image statistics.</p>;
  return (
    <div class="charts">
      <RewardChart runs={runs} style={style} zoom={zoom} height={190} />
      {names.map((name) => (
        <Chart
          key={name}
          title={textOf(name)}
          lines={metricLines(runs, name, style.axis, style.smoothing)}
          xLabel={X_LABELS[style.axis]}
          zoom={zoom}
          log={style.log}
        />
      ))}
    </div>
  );
}
