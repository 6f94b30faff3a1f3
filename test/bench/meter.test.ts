import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { gnuTimeMeter, type Meter, parseGnuTime, parseShellTimes, shellMeter } from '../../bench/delta/meter.ts';
import { parseRsyncStats } from '../../bench/delta/peers.ts';
import { findPrograms, missingPrograms } from '../../bench/delta/programs.ts';
import { tempDirectory } from '../world/temp.ts';

const signal = new AbortController().signal;

test('parseGnuTime() takes the last line', () => {
  assert.deepEqual(parseGnuTime('1.50 2.25 0.50 2048\n'), {
    wallSeconds: 1.5,
    cpuSeconds: 2.75,
    peakRssBytes: 2 * 1024 * 1024,
  });
  assert.equal(parseGnuTime('Command exited with non-zero status 3\n0.01 0.00 0.00 10\n').wallSeconds, 0.01);
  assert.throws(() => parseGnuTime(''));
  assert.throws(() => parseGnuTime('1.50 2.25 0.50\n'));
});

test('parseShellTimes() adds user and system time of the children', () => {
  assert.equal(parseShellTimes('0m9.000000s 0m9.000000s\n2m1.250000s 0m0.500000s\n'), 121.75);
  assert.equal(parseShellTimes('0m0.001s 0m0.002s\n0m0.250s 0m0.000s\n'), 0.25);
  assert.throws(() => parseShellTimes('0m9.0s 0m9.0s\n'), /Cannot read/);
});

test('parseRsyncStats() adds both ways', () => {
  const text =
    'Total file size: 22,976,334 bytes\nTotal bytes sent: 1,119,900\nTotal bytes received: 12\n\nsent 1 bytes';
  assert.equal(parseRsyncStats(text), 1_119_912);
  assert.throws(() => parseRsyncStats('Total bytes sent: 5\n'), /Cannot read/);
});

test('missingPrograms() says what to install, once', () => {
  const found = new Map([['zstd', '1.5.4']]);
  assert.equal(missingPrograms(found, ['zstd']), undefined);
  assert.equal(missingPrograms(found, ['bsdiff', 'bspatch']), 'bsdiff, bspatch not installed: apt install bsdiff');
});

/** Burns at least 0.12 s and touches at least 64 MiB, then ends with status 3. */
const burner = `
  const held = Buffer.alloc(64 * 2 ** 20, 1);
  const start = process.cpuUsage();
  for (let used = 0; used < 120_000; { user: used } = process.cpuUsage(start)) held.swap16();
  console.log('out'); console.error('err'); process.exit(3);`;

async function expectToMeasure(meter: Meter): Promise<void> {
  const { cost, exitCode, stdout, stderr } = await meter.run([process.execPath, '-e', burner], signal);
  assert.deepEqual({ exitCode, stdout, stderr }, { exitCode: 3, stdout: 'out\n', stderr: 'err\n' });
  assert.ok(cost.cpuSeconds >= 0.11 && cost.cpuSeconds < 10, `CPU ${cost.cpuSeconds}`);
  assert.ok(cost.wallSeconds >= 0.11 && cost.wallSeconds < 60, `wall ${cost.wallSeconds}`);
  const { peakRssBytes } = cost;
  assert.ok(peakRssBytes !== null && peakRssBytes > 64 * 2 ** 20 && peakRssBytes < 2 ** 30, `peak ${peakRssBytes}`);
}

test('the meter of the shell sees CPU, wall and peak memory of a Node process', async () => {
  await using folder = await tempDirectory();
  await expectToMeasure(shellMeter(folder.path));
});

test('the meter of the shell does not guess the memory of others', async () => {
  await using folder = await tempDirectory();
  const { cost, exitCode } = await shellMeter(folder.path).run(['true'], signal);
  assert.deepEqual({ exitCode, peak: cost.peakRssBytes }, { exitCode: 0, peak: null });
});

test('the meter of GNU time sees the same, and says so where there is none', async () => {
  await using folder = await tempDirectory();
  const meter = gnuTimeMeter('/usr/bin/time', folder.path);
  if (existsSync('/usr/bin/time')) await expectToMeasure(meter);
  else await assert.rejects(meter.run(['true'], signal));
});

test('a meter ends what it runs, with its children, when it is told to', async () => {
  await using folder = await tempDirectory();
  const abort = new AbortController();
  const running = shellMeter(folder.path).run(['sh', '-c', 'sleep 60 & echo $!; wait'], abort.signal);
  running.catch(() => undefined);
  let pid = 0;
  while (pid === 0) {
    await setTimeout(10);
    pid = Number(await readFile(join(folder.path, 'stdout'), 'utf8').catch(() => ''));
  }
  process.kill(pid, 0);
  abort.abort(new Error('enough'));
  await assert.rejects(running, /enough/);
  // Whoever adopts it may take a moment to notice that it has ended.
  for (let look = 0; look < 100 && isAlive(pid); look += 1) await setTimeout(20);
  assert.equal(isAlive(pid), false);
});

/** A process that has ended and is not yet collected by its parent does not live. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const stat = existsSync('/proc/self/stat') ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '';
  return !/\) [ZX] /.test(stat);
}

test('findPrograms() finds the tar that packs the pairs, with a version', async () => {
  assert.match((await findPrograms(signal)).get('tar') ?? 'absent', /^\d+(\.\d+)+$/);
});
