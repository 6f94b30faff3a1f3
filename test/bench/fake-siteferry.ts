/**
 * Stands for `siteferry` in tests of the benchmark: its delta only names the target, its patch copies it from there.
 * `--lie WHAT` before the command makes it wrong in one way; `signature` and `delta` it does not know.
 */
import { appendFileSync, cpSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const args = process.argv.slice(2);
const lie = args[0] === '--lie' ? args.splice(0, 2)[1] : undefined;
const [verb, basis = '', second = '', , output = ''] = args;

if (verb === 'diff') diff();
else if (verb === 'patch') patch();
else fail('usage', `unknown command '${verb}'`, 2);

function diff(): void {
  statSync(basis);
  writeFileSync(output, JSON.stringify(second));
  tell({ ok: true, deltaBytes: statSync(output).size - (lie === 'size' ? 1 : 0) });
}

function patch(): void {
  if (lie === 'crash') fail('delta-invalid', 'Cannot read the delta', 1);
  else {
    const target = JSON.parse(readFileSync(second, 'utf8')) as string;
    cpSync(target, output, { recursive: true, verbatimSymlinks: true });
    if (lie === 'content') appendFileSync(statSync(output).isDirectory() ? join(output, 'readme') : output, '!');
    if (lie === 'extra file') writeFileSync(join(output, 'extra'), '');
    tell({ ok: true });
  }
}

function fail(code: string, message: string, exitCode: number): void {
  tell({ ok: false, error: { code, message, retry: 'never' } });
  process.exitCode = exitCode;
}

function tell(document: object): void {
  process.stdout.write(`${JSON.stringify(document)}\n`);
}
