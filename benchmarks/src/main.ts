/**
 * `npm run gpu-bench -- [options]`: this repository, the PyTorch reference and a JAX program of the same mathematics,
 * one after the other on this machine. Every section runs in a process of its own; results are written as they come.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { measureIn } from './child';
import { machineFacts } from './machine';
import { runSection } from './one-section';
import { plot } from './report/plot';
import { writeRecipeTable } from './report/recipe-table';
import { type Facts, type Failure, type Results, results } from './report/results';
import { table } from './report/table';
import { ENGINES, type Measurement, parseLine } from './reporting';
import { SECTIONS } from './sections/index';
import { KEPT_FOLDER } from './temporary';
import { FULL, TINY } from './workload';

const HELP = `npm run gpu-bench -- [options]

  --tiny             small sizes, for any CPU: tries the scripts, measures nothing
  --sections a,b     of ${Object.keys(SECTIONS).join(', ')}
  --engines a,b      of ${ENGINES.join(', ')}; all by default, none with ''
  --out FOLDER       where DATE.json and DATE.svg go; benchmarks/results by default
  --merge FILE       results (.json) or lines (.jsonl) of another run on the same machine; may be repeated
  --keep FOLDER      where the recipe's sections leave their files, programs and runs, for sections to come, also of later
                     commands; by default a temporary folder for each
  --document FILE    writes the table of recipe.* cases into a document, between its marks
  --python COMMAND   Python with torch and jax; python3 by default
  --limit SECONDS    longest time of a Python engine; 540 by default

The PyTorch reference is upstream's own code: SHOWO2_DIR names its folder show-o2 (see benchmarks/README.md).
`;

const { values: options } = parseArgs({
  options: {
    tiny: { type: 'boolean', default: false },
    sections: { type: 'string' },
    engines: { type: 'string', default: ENGINES.join(',') },
    out: { type: 'string', default: 'benchmarks/results' },
    merge: { type: 'string', multiple: true, default: [] },
    python: { type: 'string', default: 'python3' },
    limit: { type: 'string', default: '540' },
    keep: { type: 'string' },
    document: { type: 'string' },
    section: { type: 'string' }, // the main program starts itself with these two
    folder: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (options.keep) process.env[KEPT_FOLDER] = resolve(options.keep);

if (options.help) console.log(HELP);
else if (options.section) await runSection(options.section, options.tiny ? TINY : FULL, options.folder);
else await measureAll();

async function measureAll(): Promise<void> {
  const engines = chosen(options.engines, ENGINES, 'engine');
  const sections = chosen(
    options.sections ?? Object.keys(SECTIONS).join(','),
    Object.keys(SECTIONS),
    'section',
  );
  const merged = options.merge.map(readEarlier);
  // Without a run of its own the facts are those of the results it puts together.
  const facts = (engines.length === 0 && merged.find(({ facts }) => facts)?.facts) || {
    date: new Date().toISOString(),
    machine: machineFacts(),
    workload: options.tiny ? 'tiny' : 'full',
  };
  const { date } = facts;
  const measurements = merged.flatMap(({ measurements }) => measurements);
  const failures: Failure[] = merged.flatMap(({ failures }) => failures);
  mkdirSync(options.out, { recursive: true });
  const file = join(options.out, `${date.slice(0, 19).replaceAll(':', '')}${options.tiny ? '-tiny' : ''}`);
  const write = () => {
    const now = results(facts, measurements, failures);
    writeFileSync(`${file}.json`, `${JSON.stringify(now, null, 2)}\n`);
    writeFileSync(`${file}.svg`, plot(now));
    return now;
  };
  const onMeasurement = (measurement: Measurement) => {
    measurements.push(measurement);
    write();
  };
  const size = options.tiny ? ['--tiny'] : [];
  for (const engine of engines) {
    if (engine === 'ours') {
      for (const section of sections) {
        const args = [process.argv[1]!, '--section', section, ...size];
        const reason = await measureIn(process.execPath, args, {
          limit: SECTIONS[section]!.limit,
          onMeasurement,
        });
        if (reason) failures.push({ engine, section, reason });
      }
    } else {
      const script = join('benchmarks', 'python', `bench_${engine}.py`);
      const args = [script, '--sections', sections.join(','), ...size];
      const env = { PYTHONUNBUFFERED: '1', XLA_PYTHON_CLIENT_PREALLOCATE: 'false' };
      const reason = await measureIn(options.python, args, {
        limit: Number(options.limit),
        env,
        onMeasurement,
      });
      if (reason) failures.push({ engine, section: sections.join(','), reason });
    }
  }
  const done = write();
  console.log(`\n${table(done)}\n`);
  if (options.document) writeRecipeTable(options.document, done);
  console.log(
    `ratios to PyTorch: ${JSON.stringify(done.ratios)}; to JAX: ${JSON.stringify(done.ratiosToJax)}`,
  );
  console.log(`${file}.json\n${file}.svg`);
  process.exitCode = failures.length > 0 ? 1 : 0;
}

function chosen<T extends string>(list: string, known: readonly T[], what: string): T[] {
  if (list === '') return [];
  return list.split(',').map((name) => {
    const found = known.find((each) => each === name.trim());
    if (!found) throw new Error(`There is no ${what} '${name}'; there are ${known.join(', ')}`);
    return found;
  });
}

interface Earlier extends Pick<Results, 'measurements' | 'failures'> {
  readonly facts?: Facts;
}

/** The measurements of results or of a Python engine's output. */
function readEarlier(file: string): Earlier {
  const text = readFileSync(file, 'utf8');
  if (file.endsWith('.json')) {
    const { date, machine, workload, measurements, failures } = JSON.parse(text) as Results;
    return { facts: { date, machine, workload }, measurements, failures };
  }
  return { measurements: text.split('\n').flatMap((line) => parseLine(line) ?? []), failures: [] };
}
