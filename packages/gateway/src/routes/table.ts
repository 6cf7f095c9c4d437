/**
 * The table of all routes.
 */
import type { Context } from '../context.ts';
import type { Route } from '../http/route.ts';
import { Access } from './access.ts';
import { agentRoutes, blobRoutes } from './blobs.ts';
import { btwRoutes } from './btws.ts';
import { messageRoutes } from './messages.ts';
import { operationRoutes } from './operations.ts';
import { sessionRoutes } from './sessions.ts';
import { streamRoutes } from './streams.ts';
import { terminalRoutes } from './terminals.ts';
import { tokenRoutes } from './tokens.ts';
import { transferRoutes } from './transfer.ts';
import { turnRoutes } from './turns.ts';

export function apiRoutes(context: Context, document: () => object): readonly Route[] {
  const access = new Access(context.service);
  return [
    ...sessionRoutes(context, access),
    ...messageRoutes(context, access),
    ...turnRoutes(context, access),
    ...streamRoutes(context, access),
    ...btwRoutes(context, access),
    ...transferRoutes(context, access),
    ...blobRoutes(context),
    ...agentRoutes(context),
    ...terminalRoutes(context),
    ...tokenRoutes(context),
    ...operationRoutes(context, document),
  ];
}
