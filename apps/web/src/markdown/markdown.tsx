/**
 * A Markdown text that may still be growing.
 *
 * 1. Blocks that are finished are never parsed or rendered again (`blocks.ts`); the last one is, at each change.
 * 2. What was there keeps its DOM nodes while the text grows and when it ends: selection and focus stay (E7).
 * 3. There is no way from text to markup: tokens become elements, raw HTML is shown as the text that it is.
 * 4. Everything runs in the direction of its own words: paragraphs by their style, what has a side of its own (marks, lines,
 *    columns) by `dir`. Code runs from left to right, whatever it stands in.
 */
import { Fragment, memo, useMemo, useState, type ReactNode } from 'react';
import type { Links, MarkedToken, Token, Tokens } from 'marked';
import { growBlocks, NO_BLOCKS, type Block, type Blocks } from './blocks.ts';
import { Code } from './code.tsx';
import { decodeReferences, isFenceClosed, lexBlock, safeHref } from './lex.ts';

export interface MarkdownProps {
  readonly text: string;
  /** More may come. */
  readonly isStreaming?: boolean;
}

export function Markdown({ text, isStreaming = false }: MarkdownProps): ReactNode {
  // A cache and not a state: what comes out depends on the text alone, how fast on what came out before.
  const [reader] = useState(growingReader);
  const { blocks, links } = reader(text);
  const last = blocks.length - 1;
  return (
    <div className="markdown">
      {blocks.map((block, index) =>
        block.kind === 'blank' ? null : (
          // A block's place never changes: text is only ever added behind it.
          <BlockView key={index} block={block} links={links} isOpen={isStreaming && index === last} />
        ),
      )}
    </div>
  );
}

/** Reads a text on from what it read last. */
function growingReader(): (text: string) => Blocks {
  let last = NO_BLOCKS;
  return (text) => (last = growBlocks(last, text));
}

interface BlockProps {
  readonly block: Block;
  readonly links: Links;
  readonly isOpen: boolean;
}

const BlockView = memo(function BlockView({ block, links, isOpen }: BlockProps): ReactNode {
  const tokens = useMemo(() => lexBlock(block, links, isOpen), [block, links, isOpen]);
  return blockTokens(tokens, isOpen);
}, isSameBlock);

/** A block that was cut anew to the same text is the same. */
function isSameBlock(before: BlockProps, after: BlockProps): boolean {
  return before.block.raw === after.block.raw && before.links === after.links && before.isOpen === after.isOpen;
}

// ── blocks ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const blockTokens = (tokens: readonly Token[], isOpen: boolean): ReactNode =>
  tokens.map((token, index) => (
    <Fragment key={index}>{blockToken(token as MarkedToken, isOpen && index === tokens.length - 1)}</Fragment>
  ));

function blockToken(token: MarkedToken, isOpen: boolean): ReactNode {
  switch (token.type) {
    case 'paragraph':
      return <p>{inline(token.tokens)}</p>;
    case 'heading':
      return headingToken(token);
    case 'code':
      return <Code text={token.text} language={token.lang ?? ''} isComplete={!isOpen || isFenceClosed(token.raw)} />;
    case 'list':
      return listToken(token, isOpen);
    case 'blockquote':
      return <blockquote dir="auto">{blockTokens(token.tokens, isOpen)}</blockquote>;
    case 'table':
      return tableToken(token);
    case 'hr':
      return <hr />;
    case 'html':
      return <p className="markdown-html">{token.raw.trimEnd()}</p>;
    case 'space':
    case 'def':
      return null;
    default:
      return inlineToken(token);
  }
}

/** A heading of an answer stands below the page's own. */
function headingToken({ depth, tokens }: Tokens.Heading): ReactNode {
  const Heading = `h${Math.min(depth + 2, 6)}` as 'h3' | 'h4' | 'h5' | 'h6';
  return <Heading data-depth={depth}>{inline(tokens)}</Heading>;
}

function listToken({ ordered, start, items }: Tokens.List, isOpen: boolean): ReactNode {
  const List = ordered ? 'ol' : 'ul';
  return (
    <List dir="auto" {...(ordered && start !== '' && start !== 1 ? { start } : {})}>
      {items.map((item, index) => (
        <li key={index} {...(item.task ? { className: 'markdown-task' } : {})}>
          {blockTokens(item.tokens, isOpen && index === items.length - 1)}
        </li>
      ))}
    </List>
  );
}

function tableToken({ header, rows }: Tokens.Table): ReactNode {
  return (
    // A wide table scrolls by itself, by keyboard too.
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <section className="markdown-table" dir="auto" tabIndex={0} aria-label="Table">
      <table>
        <thead>
          <tr>{header.map((cell, index) => tableCell(cell, index))}</tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={index}>{row.map((cell, column) => tableCell(cell, column))}</tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function tableCell({ header, align, tokens }: Tokens.TableCell, key: number): ReactNode {
  const Cell = header ? 'th' : 'td';
  return (
    <Cell key={key} {...(align === null ? {} : { 'data-align': align })}>
      {inline(tokens)}
    </Cell>
  );
}

// ── inside a line ───────────────────────────────────────────────────────────────────────────────────────────────────

const inline = (tokens: readonly Token[] | undefined): ReactNode =>
  tokens?.map((token, index) => <Fragment key={index}>{inlineToken(token as MarkedToken)}</Fragment>);

function inlineToken(token: MarkedToken): ReactNode {
  switch (token.type) {
    case 'strong':
      return <strong>{inline(token.tokens)}</strong>;
    case 'em':
      return <em>{inline(token.tokens)}</em>;
    case 'del':
      return <del>{inline(token.tokens)}</del>;
    case 'codespan':
      return <code>{token.text}</code>;
    case 'br':
      return <br />;
    case 'link':
      return linkToken(token);
    case 'image':
      return imageToken(token);
    case 'checkbox':
      return <input type="checkbox" checked={token.checked} disabled aria-label={token.checked ? 'done' : 'open'} />;
    case 'text':
      return token.tokens === undefined ? decodeReferences(token.text) : inline(token.tokens);
    case 'escape':
      return token.text;
    default:
      return token.raw;
  }
}

function linkToken({ href, title, tokens }: Tokens.Link): ReactNode {
  const safe = safeHref(href);
  if (safe === undefined) return inline(tokens);
  return (
    <a href={safe} target="_blank" rel="noopener noreferrer nofollow" {...(title ? { title } : {})}>
      {inline(tokens)}
    </a>
  );
}

/** Never fetched by itself: a picture's address can carry what was said to whoever serves it. */
function imageToken({ href, text }: Tokens.Image): ReactNode {
  const safe = safeHref(href);
  const label = text === '' ? 'image' : text;
  if (safe === undefined) return label;
  return (
    <a className="markdown-image" href={safe} target="_blank" rel="noopener noreferrer nofollow">
      {label}
    </a>
  );
}
