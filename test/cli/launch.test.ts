/** The command as a process of its own: what happens before and around the program. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const launcher = join(import.meta.dirname, '..', '..', 'src', 'cli', 'launch.js');

interface End {
  readonly exitCode: number | null;
  readonly out: string;
  readonly err: string;
}

function run(args: readonly string[], environment: Record<string, string> = {}): Promise<End> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, args, { env: { ...process.env, ...environment } }, (_error, out, err) => {
      resolve({ exitCode: child.exitCode, out, err });
    });
  });
}

test('a Node that is too old is told so, with the way to a newer one', async () => {
  const pretence = 'Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.20.2"}})';
  const end = await run(['--import', `data:text/javascript,${pretence}`, launcher, 'status', '--json']);
  assert.equal(end.exitCode, 1);
  const { error } = JSON.parse(end.out) as { error: { code: string; message: string; hint: string } };
  assert.equal(error.code, 'runtime-too-old');
  assert.match(error.message, /needs Node 24\.6 or later; this is Node 20\.20\.2/);
  assert.match(error.hint, /npx siteferry status/);
});

test('a demo that cannot reach the registry says so, and how to give two folders', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'siteferry-test-'));
  try {
    // Port 1 of loopback: nobody listens there.
    const environment = {
      npm_config_registry: 'http://127.0.0.1:1',
      npm_config_fetch_retries: '0',
      npm_config_cache: directory,
    };
    const end = await run([launcher, 'demo', '--json', '--dir', directory], environment);
    assert.equal(end.exitCode, 1, end.err);
    const { error } = JSON.parse(end.out) as { error: { code: string; hint: string } };
    assert.equal(error.code, 'registry-unreachable');
    assert.match(error.hint, /npm start -- OLD NEW/);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
