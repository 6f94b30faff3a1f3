import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { configFileName, environmentNameOf, initConfig, type LoadedConfig, loadConfig } from '../../src/config.ts';
import { isReadableByOthers } from '../../src/world/host.ts';
import { realRandom } from '../../src/world/random.ts';
import { realFiles } from '../../src/world/real-files.ts';
import { rejectsWithCode } from '../conformance/expect.ts';

const files = realFiles();
const random = realRandom();
const [tokenA, tokenB, tokenC] = ['a'.repeat(64), 'b'.repeat(64), 'c'.repeat(64)];

let root = '';
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'siteferry-config-'));
});
after(() => rm(root, { recursive: true }));

async function load(text: string, environment: Record<string, string> = {}): Promise<LoadedConfig> {
  const directory = await mkdtemp(join(root, 'node-'));
  await writeFile(join(directory, configFileName), text, { mode: 0o600 });
  return await loadConfig({ files, directory, environment });
}

const good = `
kind = "site"
name = "P01"
[listen]
port = 8530
[tokens]
admin = "${tokenA}"
feed = "${tokenC}"
peer = "${tokenB}"
`;

test('loadConfig() fills defaults and tells where each value came from', async () => {
  const { config, origins, warnings } = await load(good, { SITEFERRY_LOG_LEVEL: 'debug', SITEFERRY_SITE: '/srv' });
  assert.equal(config.listen.host, '127.0.0.1');
  assert.equal(config.listen.port, 8530);
  assert.equal(config.log.level, 'debug');
  assert.equal(config.sender.payloadCountMax, 5);
  assert.equal(config.distribution.packageCountMax, 3);
  assert.ok(config.threads.count >= 1);
  assert.equal(origins.get('listen.host'), 'default');
  assert.equal(origins.get('listen.port'), 'file');
  assert.equal(origins.get('log.level'), 'environment SITEFERRY_LOG_LEVEL');
  assert.equal(origins.has('upstream.url'), false);
  assert.deepEqual(warnings, []);
  assert.ok(Object.isFrozen(config) && Object.isFrozen(config.listen));
});

test('loadConfig() takes numbers from the environment and refuses what is none', async () => {
  assert.equal((await load(good, { SITEFERRY_LISTEN_PORT: '0' })).config.listen.port, 0);
  const error = await rejectsWithCode(load(good, { SITEFERRY_LISTEN_PORT: 'eighty' }), 'config-invalid');
  assert.match(error.message, /listen\.port: must be a whole number .*\(from the environment SITEFERRY_LISTEN_PORT\)/);
});

test('loadConfig() tells all faults at once, each with its key, and no secret', async () => {
  const text = `
kind = "branch"
name = "too long for a node name"
[listen]
port = 70000
prot = 1
[tokens]
admin = "short"
[sender]
payloadCountMax = 1000
[lgo]
level = "info"
`;
  const error = await rejectsWithCode(load(text, { SITEFERRY_LISTEN_PROT: '1' }), 'config-invalid');
  for (const wanted of [
    /name: must be 1 to 15/,
    /listen\.port: must be a whole number from 0 to 65535/,
    /listen\.prot: is not a setting; did you mean listen\.port\?/,
    /tokens\.admin: must have 32/,
    /tokens\.peer: is missing/,
    /upstream: is missing/,
    /sender\.payloadCountMax: must be a whole number from 1 to 999/,
    /lgo: is not a setting/,
    /environment SITEFERRY_LISTEN_PROT: is not a setting; did you mean SITEFERRY_LISTEN_PORT\?/,
  ]) {
    assert.match(error.message, wanted);
  }
  assert.ok(!error.message.includes('short'));
});

test('loadConfig() wants a port to be written down', async () => {
  const error = await rejectsWithCode(load(good.replace('port = 8530', '')), 'config-invalid');
  assert.match(error.message, /listen\.port: is missing/);
});

test('loadConfig() refuses an upstream anywhere but at a branch, and equal tokens', async () => {
  const upstream = `[upstream]\nurl = "http://127.0.0.1:1"\ntoken = "${tokenA}"\n`;
  assert.match(
    (await rejectsWithCode(load(good + upstream), 'config-invalid')).message,
    /upstream: is for branches only/,
  );
  const branch = (good + upstream).replace('"site"', '"branch"');
  assert.equal((await load(branch)).config.upstream?.pollSeconds, 60);
  const pathed = branch.replace('127.0.0.1:1', '127.0.0.1:1/path');
  assert.match((await rejectsWithCode(load(pathed), 'config-invalid')).message, /upstream\.url: must be http:/);
  const equal = good.replace(tokenB, tokenA);
  assert.match((await rejectsWithCode(load(equal), 'config-invalid')).message, /tokens\.peer: must differ/);
});

test('loadConfig() names line and column of a syntax error and quotes nothing of the file', async () => {
  const error = await rejectsWithCode(load(`${good}\noops = "${tokenA}\n`), 'config-invalid');
  assert.match(error.message, /line 11, column \d+/);
  assert.ok(!error.message.includes(tokenA));
});

test('loadConfig() points to "site init" where there is no node', async () => {
  const error = await rejectsWithCode(loadConfig({ files, directory: root, environment: {} }), 'config-missing');
  assert.equal(error.hint, `siteferry site init ${root} --code P01`);
});

test('loadConfig() warns when others can read the tokens', { skip: process.platform === 'win32' }, async () => {
  const directory = await mkdtemp(join(root, 'open-'));
  await writeFile(join(directory, configFileName), good);
  await chmod(join(directory, configFileName), 0o644);
  const { warnings } = await loadConfig({ files, directory, environment: {}, isReadableByOthers });
  assert.match(warnings[0] ?? '', /can be read by others; try: chmod 600/);
});

test('environmentNameOf() splits words', () => {
  assert.equal(environmentNameOf('upstream.pollSeconds'), 'SITEFERRY_UPSTREAM_POLL_SECONDS');
});

test('initConfig() writes what loadConfig() accepts, for its owner alone, with fresh tokens, and never twice', async () => {
  const directory = join(root, 'fresh', 'b01');
  const upstream = { url: 'http://127.0.0.1:8531', token: tokenA };
  const options = {
    files,
    random,
    directory,
    kind: 'branch',
    name: 'B01',
    host: '127.0.0.1',
    port: 8532,
    upstream,
  } as const;
  const written = await initConfig(options);
  const { config } = await loadConfig({ files, directory, environment: {} });
  assert.deepEqual(config, written);
  assert.notEqual(config.tokens.admin, config.tokens.peer);
  const path = join(directory, configFileName);
  if (process.platform !== 'win32') assert.equal((await stat(path)).mode & 0o777, 0o600);
  const before = await readFile(path, 'utf8');
  await rejectsWithCode(initConfig(options), 'config-exists');
  assert.equal(await readFile(path, 'utf8'), before);
  assert.deepEqual(await files.list(directory), [configFileName]);
});

test('initConfig() refuses a wrong name before it writes anything', async () => {
  const directory = join(root, 'wrong');
  const options = { files, random, directory, kind: 'site', name: 'TOOLONG', host: '127.0.0.1', port: 1 } as const;
  const error = await rejectsWithCode(initConfig(options), 'config-invalid');
  assert.match(error.message, /name: must be a site code/);
  assert.equal(await files.facts(directory), undefined);
});
