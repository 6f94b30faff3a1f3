/** Runs a command line inside the test process, with its output caught. */
import { createProgram, runCommandLine } from '../../src/cli/program.ts';
import type { Shell, TextStream } from '../../src/cli/shell.ts';
import { realClock } from '../../src/world/clock.ts';
import { realRandom } from '../../src/world/random.ts';
import { realFiles } from '../../src/world/real-files.ts';
import { realNetwork } from '../../src/world/real-network.ts';

export interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
  /** Standard output as the one JSON document it must be. */
  readonly document: Readonly<Record<string, unknown>>;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

function caught(parts: string[]): TextStream {
  return { write: (text) => void parts.push(text), isTerminal: false, columns: 100, style: (_format, text) => text };
}

export function testShell(options: RunOptions, out: string[], err: string[]): Shell {
  return {
    out: caught(out),
    err: caught(err),
    environment: options.environment ?? {},
    workingDirectory: options.cwd ?? process.cwd(),
    clock: realClock(),
    random: realRandom(),
    files: realFiles(),
    loadNetwork: async () => realNetwork(),
    signal: options.signal ?? new AbortController().signal,
    softwareVersion: '0.0.0-test',
  };
}

export async function run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const [out, err]: [string[], string[]] = [[], []];
  const status = await runCommandLine(testShell(options, out, err), args);
  return {
    status,
    out: out.join(''),
    err: err.join(''),
    get document() {
      return JSON.parse(out.join('')) as Record<string, unknown>;
    },
  };
}

/** The words of every command that does something, such as `['package', 'create']`. */
export async function allCommands(): Promise<string[][]> {
  const program = await createProgram({ shell: testShell({}, [], []), ending: { exitStatus: 0 } });
  const leaves = (command: typeof program, path: string[]): string[][] =>
    command.commands.length === 0
      ? [path]
      : command.commands.flatMap((child) => leaves(child as typeof program, [...path, child.name()]));
  return leaves(program, []);
}
