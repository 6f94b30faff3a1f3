import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { CommanderError } from 'commander';
import { type BenchOptions, parseOptions } from '../../bench/delta/options.ts';

function parse(...args: string[]): BenchOptions {
  return parseOptions(args, () => assert.fail('nothing is printed'));
}

test('parseOptions() measures pairs once, quick tools only, unless told otherwise', () => {
  assert.deepEqual(parse('pairs'), {
    directories: [resolve('pairs')],
    json: false,
    slow: false,
    runCount: 1,
    workDirectory: resolve(tmpdir()),
  });
});

test('parseOptions() reads every option', () => {
  const { only, ...options } = parse(
    ...['one', 'two', '--basis', 'a', '--target', '/b', '--json', '--slow', '--only', 'XDELTA3|diff', '--runs', '3'],
    ...['--work', '/scratch', '--signature-bytes', '1GiB', '--adversarial', '--growth=10'],
  );
  assert.deepEqual(options, {
    directories: [resolve('one'), resolve('two')],
    versions: { basis: resolve('a'), target: '/b' },
    json: true,
    slow: true,
    runCount: 3,
    workDirectory: '/scratch',
    signatureBytes: 2 ** 30,
    adversarialBytes: 64 * 2 ** 20,
    growthGigabytesMax: 10,
  });
  assert.ok(only?.test('xdelta3 -1, tar'));
  assert.equal(only?.test('rsync -az, tree'), false);
});

test('parseOptions() needs no folder when another part is asked for', () => {
  assert.equal(parse('--growth').growthGigabytesMax, 1);
  assert.equal(parse('--adversarial', '--adversarial-bytes', '4096').adversarialBytes, 4096);
});

for (const [what, args, expected] of [
  ['nothing to compare', [], /nothing to compare/],
  ['a basis without a target', ['--basis', 'a'], /need each other/],
  ['no run at all', ['dir', '--runs', '0'], /from 1 to 100/],
  ['a size without meaning', ['--signature-bytes', '1GB'], /1GiB/],
  ['a broken pattern', ['dir', '--only', '('], /regular expression/],
  ['a folder behind --growth', ['--growth', 'dir'], /folders go before --growth/],
  ['a size nobody uses', ['dir', '--adversarial-bytes', '5'], /needs --adversarial/],
  ['an option it does not know', ['dir', '--slwo'], /--slow/],
] as const) {
  test(`parseOptions() refuses ${what}`, () => {
    assert.throws(
      () => parse(...args),
      (error: unknown) => error instanceof CommanderError && error.exitCode !== 0 && expected.test(error.message),
    );
  });
}

test('parseOptions() prints help where it is told to', () => {
  const printed: string[] = [];
  const isHelp = (error: unknown): boolean => error instanceof CommanderError && error.exitCode === 0;
  assert.throws(() => parseOptions(['--help'], (text) => void printed.push(text)), isHelp);
  for (const part of ['--adversarial', '--signature-bytes', 'Exit status'])
    assert.ok(printed.join('').includes(part), part);
});
