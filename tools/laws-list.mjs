/**
 * What each id promises: behaviours (groups A–E, M, P, K, W), and races (R1 … R115): a failure that users really met,
 * then the law that it broke.
 *
 * `by` names what makes it impossible to express, where something does: [what, file, the words in that file which do it].
 */

export const behaviours = {
  A1: {
    law: 'Opening resolves once, when headers arrive, with status, headers and an async-iterable body. Exactly one settlement, whatever order callbacks come in.',
  },
  A2: {
    law: 'Opening on a connection that is already closed (or is closed at any instant during the open) rejects with a typed, catchable `cancelled` fault. Never an unhandled rejection, never a process exit, no request left behind.',
  },
  A3: {
    law: 'If the request completes or fails *before* the waiter is attached, the waiter still gets the real outcome (the stashed error, not a generic one).',
  },
  A4: {
    law: 'Cancelling before headers ends the request at once: the server sees the socket close (HTTP/2: the stream reset), within one round trip and not at a timeout.',
  },
  A5: { law: 'A consumer that stops iterating (`break`, `return`, throw) ends the request.' },
  A6: {
    law: "A connection invalidated in mid-stream ends the iterator with a typed fault, after every byte that the stream had accepted (one eager pump fills the stream's own queue up to the high mark; a lazy reader loses what the platform still held: measured, Chromium 0 of 900 KB).",
  },
  A7: {
    law: 'Back-pressure by bytes: reading pauses above 1 MiB yielded-but-unconsumed and resumes below 256 KiB (both options); TCP then slows the sender. Counting happens before the yield; flag and pause change in one step; the count is never negative; no chunk is dropped or reordered; a pause never outlives the drain (no deadlock); cancel wins over pause; no flapping (pauses ≤ bytes ÷ 768 KiB).',
  },
  A8: {
    law: '`.lines()` over any chunking: split UTF-8, split CRLF, CR, BOM, no final newline, one line larger than the watermark (a cap with a typed fault).',
  },
  A9: {
    law: 'Nothing is left after the end: no listener, timer, socket or retained buffer (checked by handle counts and a heap test).',
  },
  A10: {
    law: "`streamPostWithRetry`: a 401 is drained, one refresh runs (single-flight across all callers), the request is retried once *on the same owned transport* (the 401's body is drained up to 64 KiB so that its socket can be used again; a browser pins no socket, there it is the same fetch scope); a second 401 or a refused refresh is a typed terminal fault, a refresh that failed to get through is a retryable one.",
  },
  B1: {
    law: "Each attempt creates its own connection, inside the task that reads it, and closes it in that task's `finally` (`await using`). Nothing outside can reach it; there is no field to race on.",
  },
  B2: {
    law: '`stop()` only cancels the task; the teardown follows from it. `stop()` before any `start()` is a no-op; `close()` ends every task (stream, reconnect timer, token rotation) and resolves when all are gone.',
  },
  B3: {
    law: "`start()` while running is a no-op (three in a row open one stream; React's strict mode is safe); `restart()` replaces: the first attempt is cancelled and cleans up after itself, the second is untouched. 20 and 10,000 quick start/stop cycles leak nothing and crash nothing.",
  },
  B4: {
    law: 'Token rotation in mid-stream: the reader posts a command, the controller opens the next attempt with the new token; no event is lost or doubled; it never tears down its own reader from within.',
  },
  B5: {
    law: 'Reconnect with exponential back-off and full jitter (1 s × 2, cap 30 s, server advice wins), reset only by the first *event* of the new attempt, not by the 200; a persistent failure never spins.',
  },
  B6: {
    law: 'An idle watchdog that belongs to the attempt (heartbeat ≤ 15 s, dead at 2×+), judged by wall clock after sleep.',
  },
  B7: {
    law: 'Dropped references: when the last reference to a client is dropped *while it reads*, its socket is closed after collection (`FinalizationRegistry`, tested with `gc()`); one that was never started holds nothing.',
  },
  C1: {
    law: '*btw*: a side question about the running conversation, streamed on a connection of its own, without disturbing the turn; nothing of it enters the transcript unless the user keeps it.',
  },
  C2: {
    law: 'Cancelling a btw in mid-flight (leaving the view, asking a new one) is clean and is seen by the server.',
  },
  C3: { law: 'A 401 during a btw recovers by A10.' },
  C4: {
    law: 'Terminal streams: a real pty, high volume, slow reader: memory bounded, no byte lost, the pty is paused by back-pressure, a reconnect continues the *same* pty from its byte offset.',
  },
  D1: {
    law: 'Follow-ups sent faster than turns finish drain by a loop or fresh task: stack depth at handler entry is 1 for a chain of 12, and of 100,000.',
  },
  D2: {
    law: "At every instant one run can *write* to a session (fence), including each hand-off window between two turns; and, a frozen process apart, one *acts*: an owner aborts its run before its lease ends by its monotonic clock, a take-over waits for expiry by the store's clock, tools run under a guard that kills their process group when the gateway's pipe closes. A hand-off is one atomic step and only the owner releases.",
  },
  D3: {
    law: 'A message that arrives late (during clean-up, typing stop, release) is neither lost nor run beside another: it is drained by the owner, or starts one.',
  },
  D4: {
    law: "What happens to an interrupted turn's text is an explicit policy (`keep-partial` by default; `discard`), and a stale reply is never delivered after the message that replaced it.",
  },
  D5: { law: 'Typing and activity are a lease tied to the run: they end with it, always.' },
  E1: {
    law: "The end of a stream never clears or replaces live content by itself. If the view's turn is not terminal when the stream ends, recovery starts: after 180 ms where live content is shown, at once where there is none. A real terminal event that comes meanwhile cancels the recovery.",
  },
  E2: {
    law: 'Recovery asks for the settled turn, with a status of its own: `restored`, `active`, `missing`, `stale`, `error`. `active` retries every 200 ms, ten times, then slowly (1 s) for as long as the server says that the run lives.',
  },
  E3: {
    law: '`stale` (a newer stream owns the view) touches nothing at all. `error` and a lost connection retry with back-off; one failed request never finalises a turn. `missing` ten times in a row ends the turn as `interrupted` and keeps every character seen.',
  },
  E4: { law: 'A lower revision never overwrites a higher one; *unknown* is never shown as *complete*.' },
  E5: {
    law: "Ending a turn by any way (`completed`, `cancelled`, `failed`, `interrupted`, `limit`) clears that run's timers, prompts (approval, question), tool spinners and thinking, of its own session and run only, refreshes its row in the session list, removes an empty thinking placeholder, leaves the visible pane alone if it was a background session's, and runs terminal effects once.",
  },
  E6: {
    law: 'Ownership is an attachment token per (session, run, attempt); a callback whose token is not current does nothing. Sending a new message inside any recovery window never loses the new stream.',
  },
  E7: {
    law: 'One id from the first token to the settled message; settling is an in-place diff: no wipe, no flicker, no scroll jump, focus and selection kept.',
  },
  E8: {
    law: 'Per-turn stream order: content → `turn-end` → `usage` → `title-status`/`title` → `stream-end`. Status of a finished turn: `active=false`, `terminal=true`, its outcome, `lastEvent="stream-end"`. A slow title never delays `turn-end`: `turn-end` and `usage` are one append, the title is decided within 2 s (`title-status: pending|done|skipped`), then `stream-end`; a later title is an ordinary entry. Resuming a turn\'s stream at its last cursor answers 204.',
  },
  E9: {
    law: 'What is on screen is the same whether the tab stayed, was hidden, switched away and back, was reloaded, or is a second tab or device.',
  },
  M1: {
    law: "The end of a model's answer is believed by its value. Anything unknown, empty or not understood is not `completed`, and the server's own words are shown.",
  },
  M2: {
    law: 'What belongs to the provider (opaque reasoning, signatures) travels with its message through tool rounds, park, restart and later turns.',
  },
  M3: { law: 'One refused request never condemns a session: the history is made acceptable at the boundary.' },
  M4: {
    law: 'An agent over ACP runs one process a session. Kill the agent, the gateway or the node: everything that was shown stays, once; the queue goes on; no orphan process.',
  },
  M5: {
    law: "An approval offers the agent's own options and shows every character of what will run; it can be answered from any device; the arguments can be edited.",
  },
  M6: {
    law: 'MCP servers give tools; a server that dies or hangs ends its tool call with a clear error, and the turn goes on.',
  },
  M7: {
    law: 'Tools run with at most the rights of the person who allowed them, in a sandbox where the machine has one.',
  },
  M8: {
    law: 'A conversation that outgrows the context is compacted by a summary that stands in the log; nothing is erased.',
  },
  P1: {
    law: 'People who are not admins can sign in to the page, see only what is theirs, see their devices and sign out.',
  },
  P2: { law: 'No scope can be turned into a higher one, by a tool, an import, a link or a model.' },
  P3: { law: 'Whatever is bounded is bounded for each subject too; a subject at its bound harms nobody else.' },
  P4: {
    law: 'Disabling a subject ends everything that was derived from it within a second; erasing one erases all of its data.',
  },
  P5: { law: 'An outage is reported as an outage (503, not ready), whatever was asked.' },
  P6: { law: 'A backup that was reported can be restored.' },
  K1: {
    law: 'A developer installs packages, writes an agent and a tool in their own repository, and runs them, without a fork.',
  },
  K2: { law: 'The gateway mounts in Express, Fastify, Hono and Next, with back-pressure intact.' },
  K3: { law: "The application's own identity is the gateway's identity (a function, JWT by JWKS, a trusted header)." },
  K4: { law: 'A backend hears of turns and prompts by durable, signed webhooks.' },
  K5: {
    law: '`useChat` and assistant-ui work on it by an adapter; every protocol face is a projection of the log (later issues).',
  },
  K6: { law: 'Every developer mistake of the list is told with its cure.' },
  W1: { law: 'Rendering never alters characters; what is finished never changes; cost is linear in what is new.' },
  W2: { law: "The reader's hand always wins: wheel, touch, keys, scrollbar, selection, focus, place." },
  W3: {
    law: 'With the gateway down or the network away the page opens, shows the last view, and keeps its promise about what is sent.',
  },
  W4: { law: 'A person who is away is reached once (push) and can answer from the notification.' },
  W5: { law: "A session's name is its title or its first question, everywhere, and stays." },
  W6: {
    law: 'Everything by keyboard, every action leaves focus in a sensible place, finished blocks are spoken once.',
  },
};

export const races = {
  R1: {
    law: 'Two messages a millisecond apart, slow work between check and claim → two agents. → Claim and check are one step.',
    by: ['`acquire` takes a consumer in one step of the store', 'packages/log/src/port.ts', 'acquire('],
  },
  R2: { law: 'Drain by recursion: 2,000 follow-ups kill the process. → Stack depth does not depend on the queue.' },
  R3: {
    law: 'The finishing turn releases the guard that the next turn already uses. → Only the current owner releases, by fence.',
    by: ['a release carries its epoch; another’s is `lost`', 'packages/log/src/port.ts', 'release(stream'],
  },
  R4: {
    law: 'Resume after restart and an inbound message both start a turn. → Every source of turns enters by one door; recovery ends before admission opens; inbound waits, it is not dropped.',
  },
  R5: { law: 'The lock is on the route, the data belongs to the session. → Lock what is written.' },
  R6: { law: 'Waiting for the lock times out and proceeds anyway. → A timeout refuses.' },
  R7: { law: 'State read before the lease, used after it: a tool runs twice. → Reload after acquiring.' },
  R8: {
    law: 'A second transport skips the guards. → No side door: every protocol appends commands.',
    by: ['`SessionService.submit` is the only way in', 'packages/session/src/service.ts', 'submit('],
  },
  R9: {
    law: 'A paused process wakes after its lease was taken and writes. → The store refuses the old fence in the same transaction.',
  },
  R10: { law: 'Two processes on one database. → A durable, fenced lease; the loser says so and stays a reader.' },
  R11: {
    law: '"Interrupting…" for ever: guard left without a live owner. → Ownership can be checked and expires; a sweep heals without traffic.',
  },
  R12: {
    law: "A stopped turn's late completion clears the next turn's state. → Every completion is compare-and-set on (run, fence).",
  },
  R13: {
    law: 'A worker that ignores cancel locks its session. → Stop frees the session within a bound; the worker is fenced off.',
  },
  R14: {
    law: 'A stop flag left set kills the next message. → A cancel token belongs to one run.',
    by: ['the cancel signal is a field of one `Run`', 'packages/session/src/run.ts', 'AbortController'],
  },
  R15: { law: 'The terminal event is out but the lock is still held for 47 s. → Terminal means released.' },
  R16: {
    law: "A subscriber's failure ends the producer's loop. → Sinks cannot fail producers; the log belongs to the session.",
  },
  R17: {
    law: 'Messages 2, 3, 4 lost: one pending slot overwritten. → Append only.',
    by: [
      'the log has no call that replaces a record',
      'packages/log/src/port.ts',
      'A record never changes|a record never changes',
    ],
  },
  R18: {
    law: 'A message arrives between "queue empty" and "release" and nobody runs it. → The empty check and the release are one step (level-triggered, not edge).',
    by: ['`release` succeeds at the head alone (L8)', 'packages/log/src/port.ts', 'behind'],
  },
  R19: {
    law: 'Popped, then rejected by capacity, then gone. → Decide, then dequeue; a failed start puts it back at the head.',
  },
  R20: {
    law: "Steer overwrites the queue's head; a steer is acknowledged and lost when the run ends first. → Steer is an entry with a state: accepted → injected, or → queued as the next turn; the receipt says which.",
  },
  R21: {
    law: 'Messages of two people merged into one turn, run under the wrong identity. → An item carries its author and rights; never merge across them.',
    by: ['`mergedWith` compares authors', 'packages/session/src/machine.ts', 'mergedWith'],
  },
  R22: { law: 'Deleting a queued message another principal wrote. → The same authorisation on every verb.' },
  R23: {
    law: 'The same message submitted twice after a timeout runs twice. → Client id, unique in the store, receipt replayed.',
  },
  R24: {
    law: '500 after the enqueue: the client retries, two turns. → Nothing after acceptance may fail the request.',
  },
  R25: {
    law: 'Acknowledged queue entries lost by a restart. → Durable before 202.',
    by: ['the append is the admission', 'packages/session/src/service.ts', 'durable before its receipt'],
  },
  R26: { law: 'An interrupt is taken for a teardown and discards the queue. → Stop has a stated queue policy.' },
  R27: { law: '/approve waits behind the turn that waits for it: 300 s deadlock. → Control never queues behind data.' },
  R28: {
    law: "First-in-first-out approval answers the wrong command. → Answers carry the prompt's id; a stale one resolves nothing.",
  },
  R29: { law: 'Stop leaves an approval blocked. → Ending a run closes its prompts, with an event.' },
  R30: {
    law: 'A prompt that expired swallows the next messages. → Expiry is one atomic event; late answers get 409 with the outcome.',
  },
  R31: { law: "A prompt's answer goes to another chat through process-global state. → Identity travels with the run." },
  R32: { law: 'Work starts during shutdown. → The admission gate comes before dispatch.' },
  R33: { law: 'SIGKILL during a drain loses the sessions in flight. → Intent is written before the wait.' },
  R34: {
    law: 'A resumed turn runs its uncertain tool again, the restart command even. → An uncertain side effect is never repeated by itself: the turn ends `interrupted`, the next turn is told.',
  },
  R35: {
    law: 'A crash loop repeats the poison turn. → A turn with no run event beyond `turn-start` is started again, at most three times, then ends `failed` with its reason; one with output ends `interrupted` and is never started again by itself.',
  },
  R36: { law: 'Text was delivered and not persisted. → Persist, then show.' },
  R37: {
    law: 'Dedup is marked before the work is durable. → Reserve, then commit with the entry.',
    by: ['the key is in the append’s transaction (L2)', 'packages/log/src/port.ts', 'one transaction'],
  },
  R38: {
    law: 'Cancel races the iterator on a shared session: use after free. → One owned resource per attempt.',
    by: ['the connection is a local of the task that reads it', 'packages/client/src/attempt.ts', 'finally'],
  },
  R39: {
    law: 'Guard, then await, then use: the session was replaced in the gap. → Only the task that made it can reach it.',
    by: ['the connection is a local of the task that reads it', 'packages/client/src/attempt.ts', 'finally'],
  },
  R40: { law: 'The completion arrives before the waiter is set. → Late waiters see the terminal state.' },
  R41: {
    law: 'The suspend flag and the suspend differ for an instant: the stream stalls for ever. → Flag and action in one step.',
  },
  R42: {
    law: 'A rotation handled inside the reader tears down its own stream; a stale rotation reopens a stopped stream. → The reader posts, the controller acts, and rechecks after every await.',
  },
  R43: {
    law: "The old stream's clean-up kills the new stream's watchdog. → Timers belong to attempts.",
    by: ['a timer is owned by a state: `Owned`', 'packages/client/src/event-stream.ts', 'type Owned'],
  },
  R44: {
    law: 'Late errors of a replaced stream clear the live one: 61 connections in 11 min. → Act only if current; closing has a typed reason.',
  },
  R45: { law: 'Back-off reset by a 200 that then dies: a tight loop. → Reset on the first event.' },
  R46: {
    law: '401 recovery reloads the page and loses the message; a 401 loop without end. → Recover in place; transient and terminal differ.',
  },
  R47: {
    law: 'Two concurrent refreshes revoke the token family. → Single flight, cross-tab lock, idempotent grace window.',
  },
  R48: {
    law: 'Network drop, sleep and wake, hidden tab: the socket is half-open and silent. → Wall-clock watchdog on resume.',
  },
  R49: { law: "Reconnect storm after an outage. → Full jitter; the server's advice wins; one recovery at a time." },
  R50: { law: 'A seventh tab never loads. → One multiplexed stream per browser.' },
  R51: {
    law: 'An EOF without a reason looks like success or like a 45 s stall. → A typed goodbye before every intended close.',
  },
  R52: {
    law: 'The gap between snapshot and subscribe loses an event. → Attach is atomic: snapshot at S, tail from S+1.',
  },
  R53: {
    law: 'A destructive queue splits tokens between two tabs. → Readers have cursors; nothing is consumed.',
    by: ['a subscription is a position: reading consumes nothing', 'packages/log/src/port.ts', 'it is only a position'],
  },
  R54: {
    law: 'Persisted text without its cursor: the reply doubles after a reload. → State and cursor are saved together.',
  },
  R55: {
    law: 'A cursor ahead of the log filters everything, heartbeats for ever. → A cursor is validated against the head; unknown → resync.',
  },
  R56: {
    law: 'A filtered global sequence looks like loss; the "heal" erases the last message. → Sequence per session; a gap means loss, always.',
    by: ['a seq is of one stream (L1)', 'packages/log/src/port.ts', 'Seqs have no holes'],
  },
  R57: { law: 'A slow subscriber is dropped in silence or grows without bound. → Bounded, told, resumable.' },
  R58: {
    law: "The resuming client's own replay overflows its queue and sheds it again. → Replay has its own budget and flow control.",
  },
  R59: {
    law: 'A stale snapshot erases the message just sent. → Compare revisions; optimistic items are keyed by client id.',
  },
  R60: {
    law: 'After a restore from backup or an asynchronous failover sequence numbers repeat. → The cursor carries a tag of the record it names; a cursor whose record is not there gets a resync.',
  },
  R61: { law: '"Connection lost" after a finished turn. → Outcome comes from the run\'s state only.' },
  R62: {
    law: 'A frame scheduled before the end paints after it: the answer twice. → Callbacks check the generation at commit.',
    by: ['a snapshot is immutable', 'packages/client/src/api.ts', 'immutable snapshot'],
  },
  R63: { law: 'stream_end before the transcript is durable: the answer is cut. → The fence carries the revision.' },
  R64: { law: 'The fallback of an old stream idles the pane of a new one. → E3, E6.' },
  R65: { law: 'The final reply vanishes at settle and returns on reload. → One id, from first token to settled.' },
  R66: { law: 'Wipe, then fetch: 2–4 s of blank. → Swap, never wipe.' },
  R67: {
    law: 'Tokens of chat A painted in chat B. → State keyed by (session, run); guard at commit.',
    by: ['a store is that of one session', 'packages/client/src/api.ts', 'session.store'],
  },
  R68: { law: "A background session's end idles the visible pane, wipes its prompts. → The same." },
  R69: { law: 'The last character is missing before a tool card. → Sealing a segment flushes its parser.' },
  R70: {
    law: 'A rebuild of the message orphans the node that the parser writes to. → Keyed model; the view never owns data.',
  },
  R71: {
    law: 'Stop loses the prompt, the partial or both. → Everything shown is durable; cancel settles from the log.',
  },
  R72: {
    law: 'A queued message goes to the chat that is open when it is sent. → The item owns its session.',
    by: ['an outbox item names its session', 'packages/client/src/api.ts', 'interface OutboxItem'],
  },
  R73: {
    law: 'Side effects (sound, notification, title) twice after a replay. → Once per terminal entry, remembered.',
  },
  R74: {
    law: 'Local "running" flags stay set. → Busy is derived from the view.',
    by: ['busy is derived: `isBusy`', 'packages/protocol/src/view.ts', 'isBusy'],
  },
  R75: { law: 'An exception in a bookkeeping line after "start" hides the run. → Attach first.' },
  R76: {
    law: 'A regenerate or branch waits in the queue while its turn leaves the window of 50: it runs with an empty prompt, or without its history, and ends `completed`. → What is accepted runs with what it was accepted for; a fact that a queued item needs stays reachable until it has run. And: a turn older than the window can be regenerated, branched from and switched to.',
  },
  R77: {
    law: 'A stop is answered `stopping` and the turn ends `completed`, with `discard` its text stays: the end was decided before the stop was read and appended behind it. → A decision is valid only at the head that it was decided on; what the log says in between is judged again.',
  },
  R78: {
    law: 'A prompt has been shown, the process dies within milliseconds, and the prompt is cancelled: open and park were two appends. → What a person has seen as waiting, waits.',
  },
  R79: {
    law: 'A laptop sleeps, a clock steps forward 10 s: the only possible owner loses its lease to nobody and ends all its turns "the process died". → A lease that nobody took is taken up again by whoever held it, at the same fence; an outcome states what happened.',
  },
  R80: {
    law: 'A client was away during a restore: its session list keeps sessions that do not exist, for ever. → Every cursor, of lists too, names its history.',
  },
  R81: {
    law: 'An import accepts a log with a hole, a doubled or swapped line, two ends of a turn, a negative seq. → A file is judged by the same grammar as the log; its end covers its whole.',
  },
  R82: {
    law: "A mark (`readSeq`) beyond the head is taken and can never be undone. → A client's number is bounded by what is there; marks can go back.",
  },
  R83: {
    law: 'One misspelt parameter, one of two conflicting ids, an unknown content type is ignored in silence. → Strict at the door: refused and named.',
  },
  R84: {
    law: 'The end is believed by its presence: `finish_reason: ""`, `"null"` or an unknown word counts as success; a truncated answer is told as whole. → Unknown is never complete.',
  },
  R85: {
    law: "An error frame of an unfamiliar shape inside a 200 stream is dropped and `[DONE]` decides. → An answer with a frame that was not understood, or with nothing in it, is not `completed`, and the server's own words are shown.",
  },
  R86: {
    law: "A provider's opaque state (reasoning to be handed back, signatures on calls) is lost: tools cannot be used with thinking models. → What belongs to the provider travels with its message, through park and restart too.",
  },
  R87: {
    law: 'One odd thing in the history (lone surrogate, invalid tool name, repeated call id, a picture, too long in words we do not know) makes every later turn fail. → The request is made acceptable at the boundary; one refused request never condemns the session.',
  },
  R88: {
    law: 'One odd field fails an answer that is whole (`usage` as strings, a blank after `[DONE]`, an empty keep-alive `data:`). → What need not be understood is skipped.',
  },
  R89: {
    law: 'Tool calls are torn apart or glued together by changing ids and repeated indexes. → A call is what has a name; a delta without one goes on with its index.',
  },
  R90: {
    law: "The person who may write may also approve, and a tool runs with the gateway's own rights: the admin token is one `cat` away. → A tool never has more rights than the person who allows it, and never the gateway's secrets.",
  },
  R91: {
    law: "A user's string selects internal behaviour: an attachment with media type JSON is read as a log, and every backup is unrestorable. → Kinds are ours; a user's string is data. A backup is reported only after it was read as a restore would read it.",
  },
  R92: {
    law: 'An attachment is erased between upload and send, or kept for ever. → References are counted where they are made, in the same transaction; what nothing refers to goes after a stated time.',
  },
  R93: {
    law: "One person's imports, uploads, queue or turns starve everybody: leases run out, the loop stands still, slots are full. → Each subject has its share of everything that is bounded; long work yields or is off the loop; losing a lease is never silent.",
  },
  R94: {
    law: 'An outage is told as something else: 500 "bug", 401 "unknown token", ready though nothing can be written. → Unknown because unreachable is 503, everywhere; readiness means that work can be done.',
  },
  R95: {
    law: "Revoking a token leaves what it made (links, tokens, a terminal's program). → Revocation reaches everything that was derived.",
  },
  R96: {
    law: 'What is shown for approval is not what runs (bidi controls, invisible characters, a screenful of line feeds). → An approval shows every character of what will run, visibly, in a code face, at every door.',
  },
  R97: {
    law: 'The same client id with other words is reported accepted, and the words are gone. → A retry and a conflict differ by content, at every layer.',
  },
  R98: {
    law: 'With refused credentials a send and its reader hang, and nothing says why. → Nothing pends for ever without a state that says what it waits for.',
  },
  R99: {
    law: 'A stream stays open though nothing follows it (a session that was deleted or was never there). → Removal has one path.',
  },
  R100: {
    law: "A replay has side effects: a terminal's query in replayed bytes is answered again, into the shell. → Replayed bytes are shown, never acted on.",
  },
  R101: { law: 'On touch, following the end fights the finger. → Any gesture upwards wins.' },
  R102: {
    law: "A finished block changes again (a footnote's half-written definition; a half fence). → What is sealed changes only by a definition that is complete.",
  },
  R103: {
    law: 'The page promises what it does not do: "kept here and goes out once" on a page that has no session yet. → A promise on screen is a state of the outbox.',
  },
  R104: {
    law: 'The name of a session changes with each message. → A name is the title, or the first question, and stays.',
  },
  R105: {
    law: 'Text is changed, not only rendered plainly: `\\(x\\)` loses its backslashes, `3~5 … 100~200` loses its tildes. → Rendering never alters characters that it does not understand.',
  },
  R106: { law: "An input method's Enter sends, saves or renames (Safari). → One composition rule for every field." },
  R107: {
    law: 'A paste, one long line, one long block freezes the page. → Cost is linear in what is new; beyond a bound text is shown plainly.',
  },
  R108: {
    law: "In Node's own `fetch` a response that is not keep-alive (`Connection: close`, HTTP/1.0, no length) and ends while its reader is held raises an assertion from a socket event: no `catch` reaches it, the process ends, the iterator hangs (1 of 586 streams at the default marks; always at small ones). A reset of a body without a length reads as a clean end. → The wire that cannot abort the process is the default wherever it exists; whatever can raise outside a catch is not left with the platform.",
  },
  R109: {
    law: 'The rule "180 ms where live content is shown, at once where there is none" is inverted: the person\'s own message counts as content, thinking and tools do not. → What counts is what the agent has shown in this turn: text, thinking, tools, prompts.',
  },
  R110: {
    law: 'Recovery covers the turn that ran when the stream ended and no later one: the second and third queued answers come after 15–33 s. → As long as no stream reads and the view has a running turn, recovery runs.',
  },
  R111: {
    law: "The exported recovery trusts its port: a status request that hangs stops it for ever, one that fails while the view is another's polls for ever, an `interrupt` that throws is an unhandled rejection, a `restore` that throws is swallowed and repeated, an unknown standing crashes. → A machine that others drive has a time limit for each call, a typed outcome for each misbehaviour, and looks at ownership first.",
  },
  R112: {
    law: 'Marks at their boundaries: a low mark of 0 hangs for ever, NaN is no back-pressure. → Options are checked; the empty queue always resumes.',
  },
  R113: {
    law: '`cancel()` in the moment when the last byte has arrived makes a truncated body look whole. → A reader that was cancelled hears `cancelled`.',
  },
  R114: {
    law: 'A refresh that hangs is never asked again, holds every caller and every tab, and is reported as an idle stream; closing the connection does not end the call. → Single flight has a time limit and its own fault; closing ends everything at once.',
  },
  R115: {
    law: "In Chromium quick restarts leave dead sockets until its next collection: twenty restarts 3 ms apart held all six for 5 s. → A restart waits for its predecessor's socket, or paces itself.",
  },
};
