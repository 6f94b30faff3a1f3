/**
 * What a command runs in: the streams it may write to, the world it may touch, and how it ends. Every command returns
 * an `Outcome` and prints nothing itself, so that `--json` and exit statuses are right everywhere by construction;
 * only what lasts (a node, `--watch`, progress) writes while it runs.
 */
import { styleText } from 'node:util';
import type { Command } from 'commander';
import { asReplicationError, exitStatusOf, ReplicationError } from '../errors.ts';
import type { Clock } from '../world/clock.ts';
import type { Files } from '../world/files.ts';
import type { Environment } from '../world/host.ts';
import type { Network } from '../world/network.ts';
import type { Random } from '../world/random.ts';

export interface TextStream {
  write(text: string): void;
  readonly isTerminal: boolean;
  /** Width of the terminal; 80 when there is none. */
  readonly columns: number;
  /** `text` in bold, red … where the stream and NO_COLOR allow it. */
  style(format: 'bold' | 'dim' | 'red' | 'green' | 'yellow', text: string): string;
}

export interface Shell {
  readonly out: TextStream;
  readonly err: TextStream;
  readonly environment: Environment;
  /** Absolute; what paths on the command line are relative to. */
  readonly workingDirectory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  /** Loaded when asked for: it costs a third of the start of a command, and most need none. */
  loadNetwork(): Promise<Network>;
  /** Aborts at the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  readonly softwareVersion: string;
}

/** How a command ended well. `text` is for people, `document` for `--json`; `ok: true` is added to the latter. */
export interface Outcome {
  readonly document: object;
  readonly text: string;
  /** 0 when absent. */
  readonly exitStatus?: number;
}

/** What every command gets. */
export interface Run<Options> {
  readonly shell: Shell;
  readonly args: readonly string[];
  readonly options: Options & { readonly json?: boolean; readonly debug?: boolean };
}

/** `undefined` from a command that has printed all it had to say. */
export type Work<Options> = (run: Run<Options>) => Promise<Outcome | undefined>;

/** Collects how a command line ended: commander's actions return nothing. */
export interface Ending {
  exitStatus: number;
}

export interface CommandSet {
  readonly shell: Shell;
  readonly ending: Ending;
}

/** Ties `work` to `command`, with its examples below its help. */
export function define<Options>(
  set: CommandSet,
  command: Command,
  examples: readonly string[],
  work: Work<Options>,
): void {
  const listed = examples.map((example) => `  ${example}`).join('\n');
  command.addHelpText('after', `\nExamples:\n${listed}`);
  command.action(async () => {
    const options = command.optsWithGlobals() as Run<Options>['options'];
    const outcome = await work({ shell: set.shell, args: command.args, options });
    if (outcome === undefined) return;
    const { document, text, exitStatus = 0 } = outcome;
    set.shell.out.write(
      options.json === true ? `${JSON.stringify({ ok: exitStatus === 0, ...document })}\n` : asLines(text),
    );
    set.ending.exitStatus = exitStatus;
  });
}

function asLines(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

/** Prints a failure as the contract wants it; returns the exit status. */
export function reportFailure(shell: Shell, thrown: unknown, options: { json: boolean; debug: boolean }): number {
  const error = asReplicationError(thrown);
  const { code, message, retry } = error;
  const hint = error.hint ?? hintOf(error);
  if (options.json) {
    shell.out.write(
      `${JSON.stringify({ ok: false, error: { code, message, retry, ...(hint === undefined ? {} : { hint }) } })}\n`,
    );
  } else {
    shell.err.write(`${shell.err.style('red', `error ${code}:`)} ${message}\n`);
    if (hint !== undefined) shell.err.write(`${shell.err.style('bold', 'try:')} ${hint}\n`);
  }
  if (options.debug) shell.err.write(`${describeStack(error)}\n`);
  return exitStatusOf(code);
}

function hintOf({ code }: ReplicationError): string | undefined {
  return code === 'internal' ? 'the same command with --debug, and report what it prints' : undefined;
}

function describeStack(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${describeStack(error.cause)}` : '';
  return `${error.stack ?? error.message}${cause}`;
}

/** A mistake on the command line: exit status 2. */
export function usageError(message: string, hint?: string): ReplicationError {
  return new ReplicationError('usage', message, hint === undefined ? {} : { hint });
}

/** A stream of this process. Colours follow NO_COLOR, FORCE_COLOR and what the terminal can do. */
export function textStream(stream: NodeJS.WriteStream, environment: Environment, onClosed: () => void): TextStream {
  let isClosed = false;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever read our output has gone: `siteferry … | head`.
    if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') throw error;
    isClosed = true;
    onClosed();
  });
  const isTerminal = stream.isTTY === true;
  const isColoured = isTerminal && !environment['NO_COLOR'] && environment['TERM'] !== 'dumb';
  return {
    write(text) {
      if (!isClosed) stream.write(text);
    },
    isTerminal,
    get columns() {
      return stream.columns ?? 80;
    },
    style: (format, text) => (isColoured ? styleText(format, text, { validateStream: false }) : text),
  };
}
