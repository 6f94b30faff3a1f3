/** `npm run bench:delta`: where the comparison becomes a process, with streams, signals and an exit status. */
import { CommanderError } from 'commander';
import { runBench } from './bench.ts';
import { type BenchOptions, parseOptions } from './options.ts';
import { PairError } from './pair.ts';
import { faultLines, renderExtras, renderHead, renderPair } from './report.ts';

const exitFailed = 1;
const exitUsage = 2;
const exitInterrupted = 130;

const interruption = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => interruption.abort(new Error(`ended by ${name}`)));
}

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  try {
    return await compare(parseOptions(args, (text) => void process.stdout.write(text)));
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0; // help was asked for
    if (interruption.signal.aborted) {
      process.stderr.write('interrupted\n');
      return exitInterrupted;
    }
    const isUsage = error instanceof CommanderError || error instanceof PairError;
    return reportFailure(error, { isUsage, isJson: args.includes('--json') });
  }
}

async function compare(options: BenchOptions): Promise<number> {
  const print = (text: string): void => {
    if (!options.json) process.stdout.write(`${text}\n\n`);
  };
  const document = await runBench(options, {
    signal: interruption.signal,
    tell: (line) => void process.stderr.write(`${line}\n`),
    onHead: (head) => print(renderHead(head)),
    onPair: (pair) => print(renderPair(pair)),
  });
  for (const part of renderExtras(document)) print(part);
  if (options.json) process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
  for (const line of faultLines(document)) process.stderr.write(`error verification-failed: ${line}\n`);
  return document.ok ? 0 : exitFailed;
}

function reportFailure(error: unknown, { isUsage, isJson }: { isUsage: boolean; isJson: boolean }): number {
  const message = error instanceof Error ? error.message.replace(/^error: /, '') : String(error);
  const code = isUsage ? 'usage' : 'internal';
  if (isJson) process.stdout.write(`${JSON.stringify({ ok: false, error: { code, message, retry: 'never' } })}\n`);
  else process.stderr.write(`error ${code}: ${message}\n`);
  if (isUsage && !isJson) process.stderr.write('try: npm run bench:delta -- --help\n');
  return isUsage ? exitUsage : exitFailed;
}
