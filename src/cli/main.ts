/** Where a process becomes a command line: streams, signals, exit status. Everything else lives in `program.ts`. */
import packageFile from '../../package.json' with { type: 'json' };
import { realClock } from '../world/clock.ts';
import { processEnvironment } from '../world/host.ts';
import { realRandom } from '../world/random.ts';
import { realFiles } from '../world/real-files.ts';
import { runCommandLine } from './program.ts';
import { textStream } from './shell.ts';

const clock = realClock();
/** `timeout` signals a process and then its group, npm passes on what the terminal sent as well: still one request. */
const sameRequestMs = 500;

const interruption = new AbortController();
let interruptedMs = Number.POSITIVE_INFINITY;
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    // Who asks again does not want to wait for a tidy end.
    if (clock.monotonicMs() - interruptedMs > sameRequestMs) process.exit(1);
    interruptedMs = Math.min(interruptedMs, clock.monotonicMs());
    interruption.abort(new Error(`ended by ${name}`));
  });
}

const environment = processEnvironment();
const status = await runCommandLine(
  {
    // A reader of standard output that goes away wants nothing more from us; one of standard error may.
    out: textStream(process.stdout, environment, () => interruption.abort(new Error('standard output was closed'))),
    err: textStream(process.stderr, environment, () => undefined),
    environment,
    workingDirectory: process.cwd(),
    clock,
    random: realRandom(),
    files: realFiles(),
    loadNetwork: async () => (await import('../world/real-network.ts')).realNetwork(),
    signal: interruption.signal,
    softwareVersion: packageFile.version,
  },
  process.argv.slice(2),
);
for (const stream of [process.stdout, process.stderr]) await new Promise((resolve) => stream.write('', resolve));
process.exit(status);
