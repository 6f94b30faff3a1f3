import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  contentDigest,
  contentRangeField,
  parseContentRange,
  parseCount,
  parseRange,
  rangeField,
} from '../../src/wire/http.ts';

test('parseRange() follows RFC 9110 §14 for every form of one range, and ignores the rest', () => {
  const table: readonly [string | undefined, number, ReturnType<typeof parseRange>][] = [
    [undefined, 10, 'whole'],
    ['bytes=0-0', 10, { startByte: 0, endByte: 1 }],
    ['bytes=0-9', 10, { startByte: 0, endByte: 10 }],
    ['bytes=0-99', 10, { startByte: 0, endByte: 10 }],
    ['bytes=9-', 10, { startByte: 9, endByte: 10 }],
    ['bytes=10-', 10, 'unsatisfiable'],
    ['bytes=-3', 10, { startByte: 7, endByte: 10 }],
    ['bytes=-30', 10, { startByte: 0, endByte: 10 }],
    ['bytes=-0', 10, 'unsatisfiable'],
    ['bytes=-1', 0, 'unsatisfiable'],
    ['bytes=0-', 0, 'unsatisfiable'],
    ['bytes=5-4', 10, 'whole'],
    ['bytes=', 10, 'whole'],
    ['bytes=-', 10, 'whole'],
    ['bytes=a-b', 10, 'whole'],
    ['bytes=0-1,3-4', 10, 'whole'],
    ['chars=0-1', 10, 'whole'],
    ['bytes=0-99999999999999999999999999', 10, { startByte: 0, endByte: 10 }],
    ['bytes=99999999999999999999999999-', 10, 'unsatisfiable'],
    ['bytes = 0-1', 10, 'whole'],
  ];
  for (const [field, bytes, expected] of table)
    assert.deepEqual(parseRange(field, bytes), expected, `${field} of ${bytes}`);
});

test('ranges are half-open inside and inclusive outside', () => {
  const range = { startByte: 5, endByte: 8 };
  assert.equal(rangeField(range), 'bytes=5-7');
  assert.equal(contentRangeField(range, 20), 'bytes 5-7/20');
  assert.deepEqual(parseContentRange('bytes 5-7/20'), { range, bytes: 20 });
  for (const field of [undefined, '', 'bytes 7-5/20', 'bytes 5-20/20', 'bytes 5-7/*', 'bytes */20']) {
    assert.equal(parseContentRange(field), undefined);
  }
});

test('parseCount() takes safe non-negative integers only', () => {
  assert.equal(parseCount('0'), 0);
  assert.equal(parseCount('9007199254740991'), 9007199254740991);
  for (const field of [undefined, '', '-1', '+1', '1.5', '0x1', '9007199254740992', ' 1'])
    assert.equal(parseCount(field), undefined);
});

test('contentDigest() is that of RFC 9530', () => {
  assert.equal(
    contentDigest(Buffer.from('{"hello": "world"}')),
    'sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:',
  );
});
