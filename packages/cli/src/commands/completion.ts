/** Scripts that complete the command in a shell, made from the command itself. */
import type { Command, Option } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** A subcommand as a shell completes it. */
interface Completed {
  readonly name: string;
  readonly description: string;
  readonly flags: readonly Flag[];
}

interface Flag {
  readonly long: string;
  readonly description: string;
  /** What its value may be, where that is a choice. */
  readonly values: readonly string[];
  readonly takesValue: boolean;
}

export function completionScript(root: Command, shell: Shell): string {
  const commands = root.commands.map((command) => ({
    name: command.name(),
    description: command.description(),
    flags: command.options.flatMap(flagOf),
  }));
  return { bash, zsh, fish }[shell](root.name(), commands);
}

function flagOf(option: Option): Flag[] {
  const { long, description, argChoices, flags } = option;
  if (!long) return [];
  const [, written = ''] = /<([\w-]+(?:\|[\w-]+)+)>/.exec(flags) ?? [];
  const values = argChoices ?? written.split('|').filter(Boolean);
  return [{ long, description, values, takesValue: option.required || option.optional }];
}

function bash(name: string, commands: readonly Completed[]): string {
  const cases = commands.map(
    ({ name: command, flags }) => `    ${command}) words="${flags.map(({ long }) => long).join(' ')}" ;;`,
  );
  const values = valuesByFlag(commands).map(
    ([flag, choices]) => `    ${flag}) words="${choices.join(' ')}" ;;`,
  );
  return `# ${name}: completion for bash
_flow_grpo() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words=""
  case "$previous" in
${values.join('\n')}
  esac
  if [ -z "$words" ]; then
    if [ "$COMP_CWORD" -eq 1 ]; then
      words="${commands.map((command) => command.name).join(' ')} --help --version"
    elif [[ "$current" == -* ]]; then
      case "\${COMP_WORDS[1]}" in
${cases.map((line) => `  ${line}`).join('\n')}
      esac
    fi
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _flow_grpo ${name}`;
}

function zsh(name: string, commands: readonly Completed[]): string {
  const cases = commands.map(({ name: command, flags }) => {
    const specs = flags.map(({ long, description, values, takesValue }) => {
      const value = values.length > 0 ? `:value:(${values.join(' ')})` : takesValue ? ':value:_files' : '';
      return `      '${long}[${zshText(description)}]${value}'`;
    });
    return `    ${command}) _arguments \\\n${[...specs, "      '*:file:_files'"].join(' \\\n')} ;;`;
  });
  const list = commands.map((command) => `    '${command.name}:${zshText(command.description)}'`);
  return `#compdef ${name}
# ${name}: completion for zsh
_flow_grpo() {
  local -a commands
  commands=(
${list.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join('\n')}
  esac
}
if [ "$funcstack[1]" = _flow_grpo ]; then _flow_grpo "$@"; else compdef _flow_grpo ${name}; fi`;
}

function fish(name: string, commands: readonly Completed[]): string {
  const names = commands.map((command) => command.name).join(' ');
  const lines = commands.flatMap(({ name: command, description, flags }) => [
    `complete -c ${name} -n "not __fish_seen_subcommand_from ${names}" -f -a ${command} -d ${fishText(description)}`,
    ...flags.map(({ long, description: about, values, takesValue }) => {
      const value = values.length > 0 ? ` -x -a "${values.join(' ')}"` : takesValue ? ' -r' : '';
      return `complete -c ${name} -n "__fish_seen_subcommand_from ${command}" -l ${long.slice(2)}${value} -d ${fishText(about)}`;
    }),
  ]);
  return [`# ${name}: completion for fish`, ...lines].join('\n');
}

/** The choices of flags that have some, whichever command they belong to. */
function valuesByFlag(commands: readonly Completed[]): [string, readonly string[]][] {
  const found = new Map<string, readonly string[]>();
  for (const { flags } of commands) {
    for (const { long, values } of flags) if (values.length > 0) found.set(long, values);
  }
  return [...found];
}

const firstSentence = (text: string) => (text.split(/[.;\n]/)[0] ?? '').trim();
const zshText = (text: string) =>
  firstSentence(text)
    .replace(/'/g, "'\\''")
    .replace(/[[\]:]/g, '\\$&');
const fishText = (text: string) => `'${firstSentence(text).replace(/['\\]/g, '\\$&')}'`;
