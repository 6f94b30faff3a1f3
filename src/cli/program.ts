/** The command line as a whole: every command, its help, and how each run ends. */
import { Command, CommanderError } from 'commander';
import { type CommandSet, type Ending, reportFailure, type Shell, usageError } from './shell.ts';

/** Exit status of a command that was ended by a signal before it was done. */
const interruptedStatus = 130;

type AddCommands = (set: CommandSet, program: Command) => void;

/** The first words of all commands, in the order of the help, and who knows them. */
const groups: ReadonlyMap<string, () => Promise<AddCommands>> = new Map([
  ['demo', async () => (await import('./demo/demo.ts')).addDemoCommand],
  ['site', async () => (await import('./site.ts')).addSiteCommands],
  ['address', async () => (await import('./address.ts')).addAddressCommands],
  ['package', async () => (await import('./package.ts')).addPackageCommands],
  ['dp', async () => (await import('./dp.ts')).addDpCommands],
  ['branch', async () => (await import('./branch.ts')).addBranchCommands],
  ['status', async () => (await import('./status.ts')).addStatusCommand],
  ['config', async () => (await import('./config.ts')).addConfigCommand],
  ...['signature', 'delta', 'diff', 'patch'].map((word) => [word, loadFileCommands] as const),
]);

async function loadFileCommands(): Promise<AddCommands> {
  return (await import('./file-commands.ts')).addFileCommands;
}

function groupsFor(args: readonly string[]): (() => Promise<AddCommands>)[] {
  const group = groups.get(args.find((word) => !word.startsWith('-')) ?? '');
  return group === undefined ? [...new Set(groups.values())] : [group];
}

/** Runs one command line (without `node` and the script); resolves with its exit status, never rejects. */
export async function runCommandLine(shell: Shell, args: readonly string[]): Promise<number> {
  const isJson = args.includes('--json');
  const isDebug = args.includes('--debug');
  const ending: Ending = { exitStatus: 0 };
  const program = await createProgram({ shell, ending }, args);
  try {
    await program.parseAsync(args, { from: 'user' });
    return ending.exitStatus;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0; // help or version was asked for
    if (shell.signal.aborted) return endedBySignal(shell, isDebug ? error : undefined);
    const failure = error instanceof CommanderError ? asUsageError(error, program, args) : error;
    return reportFailure(shell, failure, { json: isJson, debug: isDebug });
  }
}

function endedBySignal(shell: Shell, error: unknown): number {
  shell.err.write(error instanceof Error ? `interrupted: ${error.stack}\n` : 'interrupted\n');
  return interruptedStatus;
}

/** With all commands, or only those that a command line may mean: what is not loaded costs neither time nor memory. */
export async function createProgram(set: CommandSet, args: readonly string[] = []): Promise<Command> {
  const program = new Command('siteferry')
    .description('Gets software packages to many places over thin links: only the bytes that changed travel.')
    .version(set.shell.softwareVersion)
    .option('--json', 'one JSON document on standard output, also for errors')
    .option('--debug', 'stack traces with errors')
    .exitOverride()
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .configureOutput({
      writeOut: (text) => set.shell.out.write(text),
      writeErr: () => undefined, // told by reportFailure, in our own words
      getOutHelpWidth: () => Math.min(100, set.shell.out.columns),
      getOutHasColors: () => false,
    });
  program.addHelpText(
    'after',
    '\nExamples:\n  siteferry demo                       see it work on this machine\n  siteferry site init /srv/p01 --code P01\n  siteferry site start /srv/p01\n\nExit status: 0 done, 1 failed, 2 usage, 3 partly done, 4 verification failed, 5 refused, 9 nothing to do.',
  );
  for (const add of await Promise.all(groupsFor(args).map((load) => load()))) add(set, program);
  return program;
}

/** Commander's complaint in our form: its suggestion of a typo goes along, the hint names the help to read. */
function asUsageError(error: CommanderError, program: Command, args: readonly string[]): Error {
  const path = commandPath(program, args);
  const help = `${path.join(' ')} --help`;
  if (error.code === 'commander.help') {
    const verbs = leafOf(program, path).commands.map((command) => command.name());
    return usageError(`"${path.join(' ')}" needs a command: ${verbs.join(', ')}`, help);
  }
  const [message = '', suggestion = ''] = error.message.replace(/^error: /, '').split('\n');
  return usageError(suggestion === '' ? message : `${message} ${suggestion}`, help);
}

/** The command words at the start of `args` that exist. */
function commandPath(program: Command, args: readonly string[]): string[] {
  const path = [program.name()];
  for (const arg of args.filter((word) => !word.startsWith('-'))) {
    if (!leafOf(program, path).commands.some((command) => command.name() === arg)) break;
    path.push(arg);
  }
  return path;
}

function leafOf(program: Command, path: readonly string[]): Command {
  return path
    .slice(1)
    .reduce((command, name) => command.commands.find((child) => child.name() === name) ?? command, program);
}
