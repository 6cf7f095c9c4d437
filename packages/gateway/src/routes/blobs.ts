/**
 * Attachments and large tool output, by the hash of their bytes; and what else is about a subject: agents and grants.
 *
 * 1. A blob's bytes go through, in both directions, without being gathered here.
 * 2. A blob never runs in the page: it is served as a download in a sandbox, whatever type it claims.
 */
import { z } from 'zod';
import { fault } from '@holdfast/protocol';
import { isAdmin } from '../auth/principal.ts';
import type { Context } from '../context.ts';
import { tooLarge } from '../http/body.ts';
import { created, empty, failed, ok } from '../http/reply.ts';
import { del, get, post, type Route } from '../http/route.ts';

const MEDIA_TYPE = /^[\w.+-]{1,100}\/[\w.+-]{1,100}(?:\s*;\s*charset=[\w-]{1,40})?$/;
const MODELS_TIMEOUT_MS = 3_000;
const blobSchema = z.object({ hash: z.string(), bytes: z.int() }).meta({ id: 'Blob' });

class TooLarge extends Error {}

async function* bounded(chunks: AsyncIterable<Uint8Array>, bytesMax: number): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > bytesMax) throw new TooLarge();
    yield chunk;
  }
}

export function blobRoutes({ service, config: { limits } }: Context): readonly Route[] {
  return [
    post('/v1/blobs', {
      right: 'write',
      docs: {
        summary: 'Store bytes; the content type is kept',
        replies: { 201: { about: 'Their address', schema: blobSchema } },
      },
      rawBody: true,
      handle: async ({ principal, incoming }) => {
        const mediaType = incoming.headers['content-type'] ?? 'application/octet-stream';
        if (!MEDIA_TYPE.test(mediaType))
          return failed(fault('unsupported-media-type', 'The content type is malformed. Send one like image/png.'));
        if (Number(incoming.headers['content-length'] ?? 0) > limits.blobBytesMax)
          return failed(tooLarge(limits.blobBytesMax));
        const chunks = incoming.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
        try {
          const put = await service.putBlob(principal.subject, mediaType, bounded(chunks, limits.blobBytesMax));
          return put.kind === 'fault' ? failed(put.fault) : created({ hash: put.hash, bytes: put.bytes });
        } catch (error) {
          if (error instanceof TooLarge) return failed(tooLarge(limits.blobBytesMax));
          throw error;
        }
      },
    }),

    get('/v1/blobs/{hash}', {
      right: 'read',
      docs: {
        summary: 'The bytes of a blob',
        replies: { 200: { about: 'Bytes, as the type that they came with', mediaType: '*/*' } },
      },
      handle: async ({ params: { hash }, principal }) => {
        const found = await service.getBlob(hash, isAdmin(principal) ? undefined : principal.subject);
        if (found.kind === 'fault') return failed(found.fault);
        const { mediaType, bytes, chunks } = found;
        // Rule 2. What a hash names never changes.
        const headers = {
          'cache-control': 'private, max-age=31536000, immutable',
          'content-security-policy': "sandbox; default-src 'none'",
          'content-disposition': inline(mediaType) ? 'inline' : 'attachment',
        };
        return { kind: 'bytes', mediaType, bytes, chunks, headers };
      },
    }),
  ];
}

const inline = (mediaType: string): boolean =>
  /^(image\/(png|jpeg|gif|webp|avif)|text\/plain|audio\/|video\/)/.test(mediaType);

export function agentRoutes({ service, defaultAgent }: Context): readonly Route[] {
  return [
    get('/v1/agents', {
      right: 'read',
      docs: {
        summary: 'The agents of this gateway and the models that they know',
        replies: {
          200: {
            about: 'Agents',
            schema: z.object({
              agents: z.array(
                z.object({
                  name: z.string(),
                  description: z.string(),
                  resumable: z.boolean(),
                  default: z.boolean(),
                  models: z.array(z.string()).nullable(),
                }),
              ),
            }),
          },
        },
      },
      handle: async () => {
        const agents = await Promise.all(
          [...service.agents.values()].map(async (agent) => {
            const { name, description, resumable } = agent;
            // A model server that does not answer costs the list its models, not the list.
            const models = await agent.models?.(AbortSignal.timeout(MODELS_TIMEOUT_MS)).catch(() => null);
            return { name, description, resumable, default: name === defaultAgent, models: models ?? null };
          }),
        );
        return ok({ agents });
      },
    }),

    get('/v1/grants', {
      right: 'read',
      docs: {
        summary: 'Tools that you allowed for always',
        replies: {
          200: {
            about: 'Grants',
            schema: z.object({
              grants: z.array(z.object({ tool: z.string(), grantedAt: z.iso.datetime(), by: z.string() })),
            }),
          },
        },
      },
      handle: async ({ principal }) => ok({ grants: await service.grants(principal.subject) }),
    }),

    del('/v1/grants/{tool}', {
      right: 'write',
      docs: { summary: 'Take a grant back: the tool asks again', replies: { 204: { about: 'Taken back' } } },
      handle: async ({ params: { tool }, principal }) =>
        (await service.revokeGrant(principal.subject, tool))
          ? empty
          : failed(fault('grant-not-found', `You have not allowed '${tool.slice(0, 100)}' for always.`)),
    }),
  ];
}
