/**
 * What waits: queued messages in their order, steers that the running turn has not taken yet, and messages that the gateway
 * does not have for certain. Everything can be changed until it starts, and an attempt that comes too late says so and keeps
 * what was written.
 */
import type { ReactNode } from 'react';
import type { MessageId } from '@holdfast/protocol/ids';
import type { QueuedMessage } from '@holdfast/protocol/view';
import type { Intents } from '../session/intents.ts';
import { Editor } from '../transcript/message.tsx';
import { SendingState } from '../transcript/message.tsx';
import type { Waiting } from '../transcript/rows.ts';
import { Icon } from '../ui/icons.tsx';
import { IconButton } from '../ui/button.tsx';
import { countOf } from '../ui/words.ts';

export interface QueueProps {
  readonly waiting: readonly Waiting[];
  readonly editing: MessageId | null;
  readonly onEdit: (messageId: MessageId | null) => void;
  /** Words that were to change a message and could not. */
  readonly onKeep: (text: string) => void;
  readonly intents: Intents;
}

export function Queue({ waiting, editing, onEdit, onKeep, intents }: QueueProps): ReactNode {
  if (waiting.length === 0) return null;
  const queued = waiting.filter((row) => row.kind === 'queued').map(({ item }) => item.messageId);
  const swap = (at: number, by: number): void => {
    const [one, other] = [queued[at], queued[at + by]];
    if (one !== undefined && other !== undefined) void intents.reorder(by < 0 ? [one, other] : [other, one]);
  };
  return (
    <section className="queue" aria-label="Waiting messages">
      <h2 className="queue-title">
        <Icon name="queue" size={14} />
        {countOf(waiting.length, 'message waits', 'messages wait')}
      </h2>
      <ol className="queue-rows">
        {waiting.map((row) => {
          if (row.kind === 'sending')
            return (
              <li key={row.key} className="queue-row" data-outbox={row.item.state}>
                <span className="queue-text" dir="auto">
                  {row.item.text}
                </span>
                <SendingState item={row.item} intents={intents} />
              </li>
            );
          const { messageId } = row.item;
          const at = queued.indexOf(messageId);
          return (
            <li key={row.key} className="queue-row" data-queued={messageId}>
              {editing === messageId ? (
                <Editor
                  text={row.item.text}
                  onCancel={() => onEdit(null)}
                  onLost={onKeep}
                  onSave={(text) => {
                    onEdit(null);
                    void intents.edit(messageId, text).then((isDone) => isDone || onKeep(text));
                  }}
                />
              ) : (
                <>
                  <QueueText row={row} />
                  <span className="queue-actions">
                    {row.kind === 'queued' ? (
                      <>
                        <IconButton
                          icon="up"
                          label="Move up"
                          size={15}
                          disabled={at === 0}
                          onClick={() => swap(at, -1)}
                        />
                        <IconButton
                          icon="chevronDown"
                          label="Move down"
                          size={15}
                          disabled={at === queued.length - 1}
                          onClick={() => swap(at, 1)}
                        />
                        {row.item.again === undefined ? (
                          <IconButton icon="edit" label="Edit" size={15} onClick={() => onEdit(messageId)} />
                        ) : null}
                      </>
                    ) : null}
                    <IconButton
                      icon="close"
                      label="Withdraw"
                      size={15}
                      onClick={() => void intents.withdraw(messageId)}
                    />
                  </span>
                </>
              )}
            </li>
          );
        })}
      </ol>
    </section>
  );
}

function QueueText({ row }: { readonly row: Exclude<Waiting, { kind: 'sending' }> }): ReactNode {
  const { item } = row;
  return (
    <span className="queue-text" dir="auto">
      {row.kind === 'steer' ? <span className="tag">for the running answer</span> : null}
      {row.kind === 'queued' && item.urgent ? <span className="tag">next</span> : null}
      {textOf(item)}
    </span>
  );
}

function textOf({ again, text, parts }: QueuedMessage): string {
  if (again !== undefined) return 'Answer again';
  return text === '' ? countOf(parts.length, 'file') : text;
}
