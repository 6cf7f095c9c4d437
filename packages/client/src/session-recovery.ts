/** Brings a session's turn, whose stream ended, from live to settled: `recovery.ts` against a gateway. */
import { FaultError } from '@holdfast/protocol/fault';
import type { TurnId } from '@holdfast/protocol/ids';
import type { SnapshotFrame } from '@holdfast/protocol/sse';

import type { Attachment } from './attachment.ts';
import type { Ports } from './ports.ts';
import { startRecovery, type Recovery, type SettlePort } from './recovery.ts';
import type { Requests } from './requests.ts';
import type { SessionModel } from './session-model.ts';

type Snapshot = Pick<SnapshotFrame, 'view' | 'cursor'>;

export interface SessionRecoveryOptions {
  readonly model: SessionModel;
  readonly turnId: TurnId;
  readonly token: Attachment;
  readonly requests: Requests;
  readonly ports: Ports;
}

export function recoverSession({ model, turnId, token, requests, ports }: SessionRecoveryOptions): Recovery {
  return startRecovery<Snapshot>({
    port: settlePort(requests, `/v1/sessions/${model.id}`, turnId),
    token,
    clock: ports.clock,
    random: ports.random,
    shown: model.view.messages.some((message) => message.turnId === turnId && message.text !== ''),
    seenRevision: () => model.view.seq,
    restore: (snapshot) => void model.snapshot(snapshot),
    interrupt: () => model.interrupt(turnId),
  });
}

function settlePort(requests: Requests, path: string, turnId: TurnId): SettlePort<Snapshot> {
  return {
    status: async () => {
      const answer = await requests.once('GET', `${path}/turns/${turnId}`);
      if (answer.kind === 'ok') return (answer.body as { terminal: boolean }).terminal ? 'ended' : 'active';
      if (answer.fault.kind === 'turn-not-found') return 'missing';
      throw new FaultError(answer.fault);
    },
    snapshot: async () => {
      const answer = await requests.once('GET', path);
      if (answer.kind === 'fault') throw new FaultError(answer.fault);
      const value = answer.body as Snapshot;
      return { revision: value.view.seq, terminal: value.view.turn?.turnId !== turnId, value };
    },
  };
}
