import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FAULT_KINDS, faultInfo } from '../src/fault.ts';
import { entrySchemas } from '../src/schema.ts';

const text = readFileSync(new URL('../../../PROTOCOL.md', import.meta.url), 'utf8');

test('PROTOCOL.md names every fault with its status and advice', () => {
  const rows = FAULT_KINDS.map((kind) => {
    const { status, retry } = faultInfo(kind);
    return `| \`${kind}\` | ${status === 0 ? '—' : status} | ${retry} |`;
  });
  expect(rows.filter((row) => !text.includes(row))).toEqual([]);
});

test('PROTOCOL.md names every type of entry', () => {
  expect(Object.keys(entrySchemas).filter((type) => !text.includes(`\`${type}\``))).toEqual([]);
});
