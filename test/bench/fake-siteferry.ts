/**
 * Stands for `siteferry` in tests of the benchmark: its delta only names the target, its patch copies it from there; its
 * signature only names the basis. `--lie WHAT` before the command makes it wrong in one way.
 */
import { appendFileSync, cpSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const args = process.argv.slice(2);
const lie = args[0] === '--lie' ? args.splice(0, 2)[1] : undefined;
const [verb, basis = '', second = '', , output = ''] = args;

if (verb === 'diff') diff();
else if (verb === 'patch') patch();
else if (verb === 'signature' && lie !== 'no signature') signature();
else if (verb === 'delta') delta();
else refuse();

function diff(): void {
  statSync(basis);
  writeDelta(second);
}

/** `signature BASIS -o FILE`: one argument less than the others. */
function signature(): void {
  const file = args[3] ?? '';
  writeFileSync(file, JSON.stringify(basis));
  tell({ ok: true, signatureBytes: statSync(file).size });
}

/** `delta SIGNATURE TARGET -o FILE`. */
function delta(): void {
  statSync(JSON.parse(readFileSync(basis, 'utf8')) as string);
  writeDelta(second);
}

function writeDelta(target: string): void {
  writeFileSync(output, JSON.stringify(target));
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

function refuse(): void {
  process.stderr.write('first line\nsecond line\n');
  fail('usage', `unknown command '${verb}'`, 2);
}

function fail(code: string, message: string, exitCode: number): void {
  tell({ ok: false, error: { code, message, retry: 'never' } });
  process.exitCode = exitCode;
}

function tell(document: object): void {
  process.stdout.write(`${JSON.stringify(document)}\n`);
}
