import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { allCommands, run } from './command-line.ts';

let root = '';
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'siteferry-cli-'));
});
after(() => rm(root, { recursive: true }));

interface ErrorDocument {
  readonly ok: boolean;
  readonly error: { readonly code: string; readonly message: string; readonly retry: string; readonly hint?: string };
}

test('every command has help with examples that begin with its own name', async () => {
  const commands = await allCommands();
  assert.ok(commands.length >= 25, `only ${commands.length} commands`);
  for (const words of commands) {
    const { status, out } = await run([...words, '--help']);
    assert.equal(status, 0, words.join(' '));
    assert.match(out, new RegExp(`Examples:\\n(.*\\n)*.*siteferry ${words.join(' ')}`), words.join(' '));
    assert.match(out, /--json/, words.join(' '));
  }
});

test('help and version go to standard output and are no failure', async () => {
  for (const args of [['--help'], ['--version'], ['help', 'package'], ['package', '--help']]) {
    const { status, out, err } = await run(args);
    assert.deepEqual({ status, err, said: out !== '' }, { status: 0, err: '', said: true }, args.join(' '));
  }
});

test('a wrong command line has exit status 2, says what is wrong and what to try', async () => {
  for (const [args, message, hint] of [
    [[], /needs a command: demo, site/, /siteferry --help/],
    [['package'], /"siteferry package" needs a command: create, update/, /siteferry package --help/],
    [['sttaus'], /unknown command 'sttaus' \(Did you mean status\?\)/, /siteferry --help/],
    [['package', 'crate'], /unknown command 'crate' \(Did you mean create\?\)/, /siteferry package --help/],
    [['site', 'init', 'x'], /required option '--code <code>'/, /siteferry site init --help/],
    [['status', '--wach'], /unknown option '--wach' \(Did you mean --watch\?\)/, /siteferry status --help/],
    [['signature', '-o', 'x'], /missing required argument 'basis'/, /siteferry signature --help/],
    [['demo', 'one'], /needs both folders/, /siteferry demo OLD NEW/],
    [['site', 'init', 'x', '--code', 'P01', '--port', 'http'], /"http" is not a port/, undefined],
    [['address', 'set', 'C01', '--url', 'http://h:1'], /either --token-file FILE or --token TOKEN/, undefined],
  ] as const) {
    const shown = args.join(' ');
    const { status, out, err } = await run([...args], { cwd: root });
    assert.equal(status, 2, shown);
    assert.equal(out, '', shown);
    assert.match(err, /^error usage: /, shown);
    assert.match(err, message, shown);
    if (hint !== undefined) assert.match(err, new RegExp(`\ntry: ${hint.source}`), shown);
    assert.ok(!err.includes('    at '), shown);

    const asJson = await run([...args, '--json'], { cwd: root });
    const { ok, error } = asJson.document as unknown as ErrorDocument;
    assert.deepEqual([asJson.status, ok, error.code, error.retry], [2, false, 'usage', 'never'], shown);
    assert.equal(asJson.err, '', shown);
  }
});

test('--debug adds the stack', async () => {
  assert.match((await run(['status', '--debug'], { cwd: root })).err, /\n {4}at /);
});

test('site init sets a node up, config shows it with masked tokens, and a second init is refused', async () => {
  const directory = join(root, 'p01');
  const planned = await run(['site', 'init', directory, '--code', 'P01', '--plan']);
  assert.match(planned.out, /nothing was changed/);
  const made = await run(['site', 'init', directory, '--code', 'P01', '--json']);
  assert.deepEqual([made.status, made.document['ok'], made.document['name']], [0, true, 'P01']);
  assert.match(await readFile(join(directory, 'siteferry.toml'), 'utf8'), /^port = 2\d{4}$/m);

  const again = await run(['site', 'init', directory, '--code', 'P01']);
  assert.equal(again.status, 5);
  assert.match(again.err, /^error config-exists: /);

  const shown = await run(['config', '--site', directory]);
  assert.match(shown.out, /tokens\.admin +\*{8} +file/);
  assert.match(shown.out, /sender\.payloadCountMax +5 +default/);
  const token = await run(['config', '--value', 'tokens.peer'], { environment: { SITEFERRY_SITE: directory } });
  assert.match(token.out, /^[0-9a-f]{64}\n$/);
  assert.ok(!shown.out.includes(token.out.trim()));
});

test('init refuses names that are none', async () => {
  const { status, err } = await run(['site', 'init', join(root, 'bad'), '--code', 'p01']);
  assert.equal(status, 2);
  assert.match(err, /^error config-invalid: .*name: must be a site code/);
});

test('a command for a node that does not run says so and how to start it', async () => {
  const directory = join(root, 'c01');
  await run(['site', 'init', directory, '--code', 'C01']);
  const { status, err } = await run(['status', '--site', directory]);
  assert.equal(status, 1);
  assert.match(err, new RegExp(`^error link-failed: C01 .* is not running\ntry: siteferry site start ${directory}\n$`));
  // A killed node leaves its origin behind.
  await run(['site', 'init', directory, '--code', 'C01']);
  await mkdir(join(directory, 'run'));
  await writeFile(join(directory, 'run', 'origin'), 'http://127.0.0.1:1\n');
  const stale = await run(['status', '--site', directory]);
  assert.equal(stale.status, 1);
  assert.match(stale.err, /error link-failed: .*most likely it is not running\ntry: siteferry site start/);
});

test('a command outside of any node names the directory it looked at', async () => {
  const { status, err } = await run(['package', 'list'], { cwd: root });
  assert.equal(status, 2);
  assert.match(err, /^error config-missing: Cannot find a node in /);
});

test('--plan shows the request with its token masked, and needs no running node', async () => {
  const directory = join(root, 'p02');
  await run(['site', 'init', directory, '--code', 'P02']);
  const token = 'secret'.repeat(6);
  await writeFile(join(root, 'token'), `${token}\n`);
  const args = [
    'address',
    'set',
    'C01',
    '--url',
    'http://127.0.0.1:9',
    '--token-file',
    'token',
    '--site',
    directory,
    '--plan',
  ];
  const { status, out } = await run([...args, '--json'], { cwd: root });
  assert.equal(status, 0);
  assert.ok(!out.includes(token));
  const { plan } = JSON.parse(out) as { plan: Record<string, unknown> };
  assert.equal(plan['method'], 'PUT');
  assert.equal(plan['path'], '/v1/destinations/C01');
  assert.deepEqual(plan['body'], { kind: 'site', url: 'http://127.0.0.1:9', token: '********', receives: 'assigned' });
  assert.match((await run(args, { cwd: root })).out, /would ask P02 \(not running\):\n.*\nnothing was changed/);
});

test('demo refuses missing, empty and equal folders before anything is started', async () => {
  for (const name of ['empty', 'one', 'two']) await mkdir(join(root, name));
  await writeFile(join(root, 'one', 'a'), 'same');
  await writeFile(join(root, 'two', 'a'), 'same');
  for (const [pair, code, status] of [
    [['nowhere', 'one'], 'source-missing', 1],
    [['one', 'empty'], 'source-empty', 5],
    [['one', 'two'], 'nothing-to-do', 9],
  ] as const) {
    const ran = await run(['demo', ...pair, '--dir', join(root, 'demo'), '--json'], { cwd: root });
    assert.equal(ran.status, status, code);
    assert.equal((ran.document as unknown as ErrorDocument).error.code, code);
  }
});
