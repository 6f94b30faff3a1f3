import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collisionKey, linkFault, pathFault, portabilityFault } from '../../src/model/package-path.ts';

test('pathFault() lets names in any script pass', () => {
  for (const path of [
    'a',
    'a/b/c.txt',
    'Ünïcödé/文件/ファイル/пусто/🚀',
    '.hidden',
    '...',
    'a b',
    '-rf',
    'con',
    '~',
    'é',
    'y'.repeat(255),
  ]) {
    assert.equal(pathFault(path), undefined, path);
  }
});

test('pathFault() refuses every way out of the root', () => {
  const refused = [
    '',
    '/',
    '/a',
    'a/',
    '//',
    'a//b',
    '.',
    '..',
    './a',
    'a/.',
    '../a',
    'a/../b',
    'a/..',
    'a\0b',
    'a\\b',
    '..\\a',
    '\\\\server\\share',
    'C:',
    'c:a',
    'C:\\a',
    '\ud800',
    'y'.repeat(256),
    'é'.repeat(128),
    `${'a/'.repeat(2048)}a`,
  ];
  for (const path of refused) assert.notEqual(pathFault(path), undefined, JSON.stringify(path));
});

test('linkFault() keeps links inside the package', () => {
  for (const [path, target] of [
    ['a', 'b'],
    ['a/b', '../c'],
    ['a/b/c', '../../d'],
    ['a', './b'],
    ['a/b', '../.'],
  ] as const) {
    assert.equal(linkFault(path, target), undefined, `${path} -> ${target}`);
  }
  for (const [path, target] of [
    ['a', '..'],
    ['a', '../b'],
    ['a/b', '../../c'],
    ['a', '/b'],
    ['a', ''],
    ['a', 'b/../../c'],
    ['esc', 'd/l/../..'],
    ['a', 'b/../c'],
    ['a', 'C:\\b'],
    ['a', 'x\0'],
  ] as const) {
    assert.notEqual(linkFault(path, target), undefined, `${path} -> ${target}`);
  }
});

test('portabilityFault() names what Windows cannot hold', () => {
  for (const path of [
    'con',
    'a/NUL.txt',
    'com1',
    'COM¹.log',
    'conin$',
    'a:b',
    'what?',
    'dot.',
    'blank ',
    'tab\t',
    'a<b',
  ]) {
    assert.notEqual(portabilityFault(path), undefined, path);
  }
  for (const path of ['console', 'com', 'com10', 'nul-terminated', '.con'])
    assert.equal(portabilityFault(path), undefined, path);
});

test('collisionKey() is equal for names that differ in case or normalisation only', () => {
  for (const [left, right] of [
    ['xt_DSCP.ko', 'xt_dscp.ko'],
    ['\u00e9', 'e\u0301'],
    ['Straße', 'STRASSE'],
    ['ﬁle', 'file'],
    ['Ａ', 'a'],
  ] as const) {
    assert.equal(collisionKey(left), collisionKey(right), `${left} ${right}`);
  }
  assert.notEqual(collisionKey('a'), collisionKey('b'));
});
