import assert from 'node:assert/strict';
import { test } from 'node:test';
import { spawnProcess } from '../../src/world/processes.ts';
import { rejectsWithCode } from '../conformance/expect.ts';

const node = (program: string): [string, ...string[]] => [process.execPath, '-e', program];

test('spawnProcess() gives lines of both streams, whole and in order, and the status', async () => {
  const lines: string[] = [];
  await using child = await spawnProcess({
    command: node(
      `process.stdout.write('a');console.log('b é');console.error('c' + process.env.X);process.stdout.write('end');process.exitCode=3`,
    ),
    env: { X: '1' },
    onLine: (stream, line) => lines.push(`${stream} ${line}`),
  });
  assert.ok(child.pid > 0);
  assert.deepEqual(await child.exited, { exitCode: 3, signal: null });
  assert.deepEqual(lines.toSorted(), ['stderr c1', 'stdout ab é', 'stdout end']);
  child.kill('SIGTERM');
});

test('spawnProcess() refuses a program that is not there with process-failed', async () => {
  await rejectsWithCode(spawnProcess({ command: ['/no/such/program'] }), 'process-failed');
});

test('spawnProcess() kill() ends a process by the signal', async () => {
  await using child = await spawnProcess({ command: node('setInterval(() => {}, 1000)') });
  child.kill('SIGKILL');
  assert.deepEqual(await child.exited, { exitCode: null, signal: 'SIGKILL' });
});

test('spawnProcess() disposal lets a process end in order, and kills one that does not', async () => {
  for (const [onTerm, end] of [
    ['process.exit(7)', { exitCode: 7, signal: null }],
    ['0', { exitCode: null, signal: 'SIGKILL' }],
  ] as const) {
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const child = await spawnProcess({
      command: node(`process.on('SIGTERM', () => ${onTerm});setInterval(() => {}, 1000);console.log('ready')`),
      graceMs: onTerm === '0' ? 50 : 10_000,
      onLine: () => resolve(),
    });
    await ready;
    await child[Symbol.asyncDispose]();
    assert.deepEqual(await child.exited, end);
  }
});
