/** The database under the nodes dies, comes back, loses what it had confirmed, or is full. */
import { mkdtemp, rm } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openPostgresLog } from '@holdfast/log/postgres';
import { startBalancer } from '../balancer.ts';
import { startPostgres } from '../postgres.ts';
import { eventually, openStand, Watch, type Answer, type Shown } from './stand.ts';

const PLAIN = '/scene plain tokens=5 rate=200';

test('R25, R36, R51: while the database is away appends are refused or durable, and readers wait or are told goodbye', async () => {
  const stand = await openStand(2);
  await stand.open('s_1');
  const reader = stand.watch(1, 's_1');
  await stand.send(0, 's_1', 'before', PLAIN);
  await reader.untilType('turn-end');

  await stand.server.crash();
  const refused = await stand.send(0, 's_1', 'during', PLAIN);
  expect(refused.status).toBe(503);
  expect(refused.body).toMatchObject({ fault: 'storage-unavailable', retryAfterMs: expect.any(Number) as number });
  await stand.server.restart();

  await eventually(async () => (await stand.send(0, 's_1', 'during', PLAIN)).status === 202);
  await reader.until(({ event, data }) => event === 'turn-end' && data['seq'] !== reader.shown[0]?.data['seq']);
  const isWhole = (): boolean => reader.entries.filter(({ event }) => event === 'turn-end').length === 2;
  await eventually(() => Promise.resolve(isWhole()));
  expect(reader.entries.map(({ data }) => data['seq'])).toEqual(reader.entries.map((_, index) => index + 1));
  const sent = reader.entries.flatMap(({ event, data }) => (event === 'message' ? [data['clientId']] : []));
  expect(sent).toEqual(['before', 'during']);
});

test('R36, R37: a commit that a failover took back is not reported as done, though its transaction id is given again', async () => {
  await using server = await startPostgres();
  await using wire = {
    balancer: await startBalancer([server.port]),
    [Symbol.asyncDispose]: () => wire.balancer.close(),
  };
  const url = new URL(await server.createDatabase('doubt'));
  url.port = String(wire.balancer.port);
  const log = await openPostgresLog({ url: url.href, node: 'a' });
  onTestFinished(() => log.close());
  await log.create('s', { contentType: 'text/plain' });
  const bytes = new TextEncoder().encode('one');
  // Its first append makes the lane's connection and the statements known.
  expect(await log.append('s', { records: [bytes] })).toMatchObject({ kind: 'appended', last: 1 });
  await using standby = await server.createStandby({ synchronous: true });
  await standby.detach();
  // It is written on the primary alone, and waits for the standby that never hears of it.
  const appended = log.append('s', { records: [bytes] });
  const waits = `SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%COMMIT'`;
  await eventually(async () => (await server.query(waits)).length > 0);
  await server.crash();
  await standby.promote();
  for (let n = 0; n < 50; n += 1) await standby.query('SELECT pg_current_xact_id()');
  wire.balancer.route([standby.port]);

  const { kind } = await appended;
  const there = await standby.query('SELECT 1 FROM records WHERE seq = 2', 'doubt');
  expect([kind, there.length]).toEqual(['unavailable', 0]);
});

test('R55, R60: after a failover that lost entries no cursor leads on from them: every reader gets a resync, though the log has grown past it', async () => {
  const stand = await openStand(2);
  await stand.open('s_1');
  const attached = stand.watch(1, 's_1');
  await stand.send(0, 's_1', 'm1', PLAIN);
  await attached.untilType('turn-end');
  const standby = await stand.server.createStandby();
  onTestFinished(() => standby.stop());
  await standby.detach();
  await stand.send(0, 's_1', 'lost', '/scene plain tokens=40 rate=400');
  await eventually(() => Promise.resolve(attached.entries.filter(({ event }) => event === 'turn-end').length === 2));
  const cursor = attached.entries.at(-1)?.id ?? '';

  await stand.server.crash();
  await standby.promote();
  for (const wire of stand.wires) wire.route([standby.port]);
  for (const clientId of ['m2', 'm3', 'm4'])
    await eventually(
      async () => (await stand.send(0, 's_1', clientId, '/scene plain tokens=80 rate=400')).status === 202,
    );

  // Whoever was attached is told, or has to come back; whoever comes back, on any node, is told.
  await Promise.race([attached.untilType('resync'), attached.untilType('goodbye'), attached.ended]);
  for (const node of [0, 1]) {
    const back = stand.watch(node, 's_1', cursor);
    const { data } = await back.untilType('resync');
    const { messages } = data['view'] as { readonly messages: readonly { readonly text: string }[] };
    expect(messages.map(({ text }) => text)).not.toContain('/scene plain tokens=40 rate=400');
  }
  const fresh = stand.watch(1, 's_1');
  await eventually(() => Promise.resolve(fresh.entries.filter(({ event }) => event === 'turn-end').length === 4));
  expect(fresh.entries.map(({ data }) => data['seq'])).toEqual(fresh.entries.map((_, index) => index + 1));
});

test('R55: after a failover that lost changes the session list begins anew for every reader, and lost tokens and revocations are forgotten', async () => {
  const stand = await openStand(2);
  const feed = (node: number, after: string): Watch => {
    const opened = new Watch(`${stand.nodes.gateway(node).url}/v1/feed?after=${after}`);
    onTestFinished(() => opened.close());
    return opened;
  };
  const issue = async (): Promise<{ readonly tokenId: string; readonly token: string }> => {
    const { body } = await stand.ask(0, 'POST', '/v1/tokens', { subject: 'ann', scopes: ['read'] });
    return { tokenId: String(body['tokenId']), token: String(body['accessToken']) };
  };
  const statusOf = async (node: number, token: string): Promise<number> => {
    const headers = { authorization: `Bearer ${token}` };
    return (await fetch(`${stand.nodes.gateway(node).url}/v1/sessions`, { headers })).status;
  };
  const rename = (sessionId: string, title: string): Promise<Answer> =>
    stand.ask(0, 'PATCH', `/v1/sessions/${sessionId}`, { title, clientId: `to-${title}` });
  const isTitled =
    (title: string) =>
    ({ data }: Shown): boolean =>
      (data['summary'] as { title?: string } | undefined)?.title === title;

  await stand.open('s_1');
  expect((await rename('s_1', 'kept')).status).toBeLessThan(300);
  const kept = await issue();
  const attached = feed(1, '0');
  await attached.until(isTitled('kept'));
  const standby = await stand.server.createStandby();
  onTestFinished(() => standby.stop());
  await standby.detach();
  await rename('s_1', 'lost');
  await stand.open('s_ghost');
  const lost = await issue();
  await stand.ask(0, 'DELETE', `/v1/tokens/${kept.tokenId}`);
  await attached.until(({ data }) => (data['summary'] as { sessionId?: string } | undefined)?.sessionId === 's_ghost');
  for (const node of [0, 1]) {
    expect(await statusOf(node, lost.token)).toBe(200);
    await eventually(async () => (await statusOf(node, kept.token)) === 401);
  }
  const cursor = (attached.entries.at(-1)?.id ?? '').replace('feed/', '');

  await stand.server.crash();
  await standby.promote();
  for (const wire of stand.wires) wire.route([standby.port]);

  // Attached, without anything that happens, or after it with a place that the list has grown past since.
  await Promise.race([attached.until(isResync), attached.ended]);
  await eventually(async () => (await rename('s_1', 'after')).status < 300);
  for (let n = 0; n < 5; n += 1) await stand.open(`s_new${n}`);
  for (const node of [0, 1]) {
    const back = feed(node, cursor);
    await back.until(isResync);
    await back.until(isTitled('after'));
    const { shown } = back;
    expect(JSON.stringify(shown)).not.toMatch(/s_ghost|"lost"/);
    // From there it goes on as any feed does.
    const again = feed(node, (back.entries.at(-1)?.id ?? '').replace('feed/', ''));
    await stand.open(`s_later${node}`);
    await again.until(({ data }) => JSON.stringify(data).includes(`s_later${node}`));
    expect(again.shown.some(isResync)).toBe(false);
  }
  const late = await issue();
  for (const node of [0, 1]) {
    await eventually(async () => (await statusOf(node, lost.token)) === 401);
    await eventually(async () => (await statusOf(node, kept.token)) === 200);
    expect(await statusOf(node, late.token)).toBe(200);
  }
});

const isResync = ({ data }: Shown): boolean => data['type'] === 'resync';

/** A small disk of its own takes the rights to mount one. */
const canMount = process.platform === 'linux' && process.getuid?.() === 0;

test.runIf(canMount)(
  'R24, R25: on a full disk appends are refused or durable, and go on when there is room',
  async () => {
    const disk = await mkdtemp(path.join(os.tmpdir(), 'holdfast-disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', disk]);
    onTestFinished(async () => {
      execFileSync('umount', ['-l', disk]);
      await rm(disk, { recursive: true, force: true });
    });
    await using server = await startPostgres();
    execFileSync('chown', ['postgres', disk]);
    await server.query(`CREATE TABLESPACE small LOCATION '${disk}'`);
    const stand = await openStand(1, {}, { server, tablespace: 'small' });
    await stand.open('s_1');
    const fill = 'x'.repeat(200_000);
    const accepted: string[] = [];
    let refused: string | undefined;
    for (let n = 0; refused === undefined && n < 500; n += 1) {
      const { status, body } = await stand.ask(0, 'POST', '/v1/sessions/s_1/messages', {
        clientId: `m${n}`,
        text: `${PLAIN} ${fill}`,
      });
      if (status === 202) accepted.push(`m${n}`);
      else {
        expect([503, 507]).toContain(status);
        expect(body['fault']).toMatch(/^storage-/);
        refused = `m${n}`;
      }
    }
    expect(refused).toBeDefined();
    execFileSync('mount', ['-o', 'remount,size=256m', disk]);
    await eventually(async () => (await stand.send(0, 's_1', refused!, PLAIN)).status === 202);
    const watch = stand.watch(0, 's_1');
    await watch.until(({ event, data }) => event === 'message' && data['clientId'] === refused);
    const sent = watch.entries.flatMap(({ event, data }) => (event === 'message' ? [data['clientId']] : []));
    expect(sent).toEqual([...accepted, refused]);
  },
  120_000,
);
