/** The command line of the benchmark. */
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';

export interface BenchOptions {
  /** Absolute: each a pair or a folder of pairs. */
  readonly directories: readonly string[];
  /** Any two folders or files, absolute. */
  readonly versions?: { readonly basis: string; readonly target: string };
  readonly json: boolean;
  readonly slow: boolean;
  /** Tasks whose `tool, job` it does not match are left out. */
  readonly only?: RegExp;
  readonly runCount: number;
  /** Absolute; the scratch folder is made in it. */
  readonly workDirectory: string;
  /** Size of the file of which signatures are made. */
  readonly signatureBytes?: number;
  /** Size of each side of the adversarial pairs. */
  readonly adversarialBytes?: number;
  /** Size of the largest pair whose cost per GB is measured. */
  readonly growthGigabytesMax?: number;
}

const MiB = 1024 * 1024;
const adversarialBytesDefault = 64 * MiB;
const runCountMax = 100;

const parsedOptions = z.object({
  basis: z.string().optional(),
  target: z.string().optional(),
  json: z.boolean().default(false),
  slow: z.boolean().default(false),
  only: z.instanceof(RegExp).optional(),
  runs: z.number(),
  work: z.string(),
  signatureBytes: z.number().optional(),
  adversarial: z.boolean().default(false),
  adversarialBytes: z.number().optional(),
  growth: z.union([z.literal(true), z.number()]).optional(),
});

const examples = `
Examples:
  npm run bench:delta -- pairs/                      every pair in a folder
  npm run bench:delta -- pairs/node --slow           with bsdiff and zstd -19: minutes, gigabytes
  npm run bench:delta -- --basis old.iso --target new.iso --only 'siteferry|xdelta3'
  npm run bench:delta -- --signature-bytes 1GiB --adversarial --growth=10

Exit status: 0 done, 1 a rebuilt target is not the target or a command of ours failed, 2 usage.`;

/** Throws `CommanderError`: for mistakes, and with `exitCode` 0 after help. `write` gets what commander prints. */
export function parseOptions(args: readonly string[], write: (text: string) => void): BenchOptions {
  const command = new Command('bench:delta')
    .description('Compares Siteferry with the delta tools of this machine: same pairs, same jobs, same run.')
    .argument('[dir...]', 'a folder with basis/ and target/, or a folder of such folders')
    .option('--basis <path>', 'with --target: any two folders, or any two files')
    .option('--target <path>')
    .option('--json', 'one JSON document on standard output')
    .option('--slow', 'also zstd -19 --patch-from and bsdiff on large inputs')
    .option('--only <regexp>', 'only what matches in "tool, job", such as "xdelta3|diff default"', parsePattern)
    .option('--runs <n>', 'take the run with the least CPU of so many', parseCount, 1)
    .option('--work <dir>', 'where to make the scratch folder, which is removed at the end', tmpdir())
    .option('--signature-bytes <size>', 'also the signature of one random file of this size, such as 1GiB', parseSize)
    .option('--adversarial', 'also inputs made to be slow, against random data')
    .option('--adversarial-bytes <size>', 'their size', parseSize)
    .option('--growth [gb]', 'also seconds per GB at 0.1, 0.3 and 1 GB; --growth=10 goes on to 10', parseGigabytes)
    .addHelpText('after', examples)
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: () => undefined });
  command.parse(args, { from: 'user' });
  const options = parsedOptions.parse(command.opts());
  const directories = command.args.map((path) => resolve(path));
  const fault = faultOf(options, directories.length);
  if (fault !== undefined) command.error(`error: ${fault}`, { exitCode: 2, code: 'bench.usage' });
  return settle(options, directories);
}

type Parsed = z.infer<typeof parsedOptions>;

function faultOf(options: Parsed, directoryCount: number): string | undefined {
  const { basis, target, signatureBytes, adversarial, growth } = options;
  if ((basis === undefined) !== (target === undefined)) return '--basis and --target need each other';
  if (!adversarial && options.adversarialBytes !== undefined) return '--adversarial-bytes needs --adversarial';
  const isIdle = directoryCount === 0 && basis === undefined;
  if (isIdle && signatureBytes === undefined && !adversarial && growth === undefined) {
    return 'nothing to compare: name a folder with basis/ and target/, or --basis A --target B';
  }
  return undefined;
}

function settle(options: Parsed, directories: readonly string[]): BenchOptions {
  const { basis, target, json, slow, only, runs, work, signatureBytes, adversarial, growth } = options;
  const versions =
    basis === undefined || target === undefined ? undefined : { basis: resolve(basis), target: resolve(target) };
  return {
    directories,
    ...(versions === undefined ? {} : { versions }),
    json,
    slow,
    ...(only === undefined ? {} : { only }),
    runCount: runs,
    workDirectory: resolve(work),
    ...(signatureBytes === undefined ? {} : { signatureBytes }),
    ...(adversarial ? { adversarialBytes: options.adversarialBytes ?? adversarialBytesDefault } : {}),
    ...(growth === undefined ? {} : { growthGigabytesMax: growth === true ? 1 : growth }),
  };
}

function parsePattern(text: string): RegExp {
  try {
    return new RegExp(text, 'i');
  } catch {
    throw new InvalidArgumentError('A regular expression is needed.');
  }
}

function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= runCountMax) return count;
  throw new InvalidArgumentError(`A number from 1 to ${runCountMax} is needed.`);
}

const unitBytes: Readonly<Record<string, number>> = { '': 1, KiB: 1024, MiB, GiB: 1024 * MiB };

function parseSize(text: string): number {
  const [, digits = '', unit = ''] = /^([\d.]+)(KiB|MiB|GiB)?$/.exec(text) ?? [];
  const bytes = Math.round(Number(digits || Number.NaN) * (unitBytes[unit] ?? Number.NaN));
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new InvalidArgumentError('A size such as 64MiB or 1GiB is needed.');
}

function parseGigabytes(text: string): number {
  const gigabytes = Number(text);
  if (gigabytes > 0 && gigabytes <= 1000) return gigabytes;
  throw new InvalidArgumentError('A number of GB is needed; folders go before --growth.');
}
