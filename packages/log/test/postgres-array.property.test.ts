import * as fc from 'fast-check';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPostgres, type PostgresServer } from '@holdfast/testing/postgres';
import { booleans, byteas, numbers, texts } from '../src/postgres/array.ts';

let server: PostgresServer;
let client: Client;
beforeAll(async () => {
  server = await startPostgres();
  client = new Client(server.url);
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await server.stop();
});

/** PostgreSQL keeps no zero byte in a text, and half a surrogate pair is no text. */
const text = fc.string({ unit: 'grapheme' }).filter((it) => !it.includes('\0') && it.isWellFormed());

test('an array comes to PostgreSQL as it is, whatever is in it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          number: fc.maxSafeInteger(),
          isSo: fc.boolean(),
          text: fc.oneof(
            text,
            fc.constantFrom('NULL', '', '"', '\\', '{', '},{', ' a ', '\\x00'),
            fc.constant(undefined),
          ),
          bytes: fc.uint8Array(),
        }),
        { minLength: 1 },
      ),
      async (rows) => {
        const found = await client.query<{ number: string; so: boolean; text: string | null; bytes: Buffer }>(
          `SELECT * FROM unnest($1::bigint[], $2::boolean[], $3::text[], $4::bytea[]) AS v(number, so, text, bytes)`,
          [
            numbers(rows.map((row) => row.number)),
            booleans(rows.map((row) => row.isSo)),
            texts(rows.map((row) => row.text)),
            // A view into a larger buffer, as records are.
            byteas(
              rows.map(({ bytes }) => Buffer.concat([Buffer.from('ab'), bytes, Buffer.from('c')]).subarray(2, -1)),
            ),
          ],
        );
        expect(
          found.rows.map((row) => ({
            number: Number(row.number),
            isSo: row.so,
            text: row.text ?? undefined,
            bytes: [...row.bytes],
          })),
        ).toEqual(rows.map((row) => ({ number: row.number, isSo: row.isSo, text: row.text, bytes: [...row.bytes] })));
      },
    ),
    { numRuns: 200 },
  );
});
