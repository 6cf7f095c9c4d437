/**
 * Two nodes in turn: each call goes to the other one than the last, so that what a node remembers of a stream is nearly always what was there
 * before the other changed it (`guess.ts`). Every verdict is as with one.
 */
import { startPostgres } from '@holdfast/testing/postgres';
import { afterAll } from 'vitest';
import { describeLog } from '../src/conformance.ts';
import { describeAppends } from '../src/conformance/appends.ts';
import { describeConsumers } from '../src/conformance/consumers.ts';
import { describeLifecycle } from '../src/conformance/lifecycle.ts';
import { describeProperties } from '../src/conformance/properties.ts';
import type { Log } from '../src/port.ts';
import { openPostgresLog } from '../src/postgres.ts';
import { postgresOptions } from './postgres-options.ts';

const PARTS = ['consumers', 'holders', 'rows'] as const;

/** One breath, one node: what is asked for while something is under way goes where that went, as its order is one caller's (L5). */
function inTurns(nodes: readonly [Log, Log]): Log {
  let turn: 0 | 1 = 0;
  let underWay = 0;
  const inTurn = <Part extends object>(partOf: (log: Log) => Part): Part =>
    new Proxy(partOf(nodes[0]), {
      get: (first, name) => {
        const property: unknown = Reflect.get(first, name);
        if (typeof property === 'boolean') return property;
        return (...args: unknown[]) => {
          if (underWay === 0) turn = turn === 0 ? 1 : 0;
          const part = partOf(nodes[turn]) as Record<string | symbol, (...args: unknown[]) => unknown>;
          const result = part[name]?.(...args);
          if (!(result instanceof Promise)) return result;
          underWay += 1;
          return result.finally(() => (underWay -= 1));
        };
      },
    });
  const parts = Object.fromEntries(PARTS.map((name) => [name, inTurn((log) => log[name])]));
  const whole = inTurn((log) => log);
  return new Proxy(whole, {
    get: (_log, name) => {
      if (name === 'close') return async () => void (await Promise.all(nodes.map((node) => node.close())));
      // It is no promise.
      return name === 'then' ? undefined : (parts[name as string] ?? Reflect.get(whole, name));
    },
  });
}

const server = await startPostgres();
afterAll(() => server.stop());
const url = await server.createDatabase('turns');
let node = 0;
const openOne = (): Promise<Log> => openPostgresLog({ url, node: `n${(node += 1)}` });
const open = async (): Promise<Log> => inTurns([await openOne(), await openOne()]);

// What readers and watchers are promised is promised to those of one process.
describeLog('postgres, two nodes in turn', open, postgresOptions(open, openOne), [
  describeAppends,
  describeConsumers,
  describeLifecycle,
  describeProperties,
]);
