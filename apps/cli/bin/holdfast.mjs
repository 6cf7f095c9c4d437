#!/usr/bin/env node
// The door: plain JavaScript that any Node can read, so that an old one gets an answer instead of a syntax error.
//
// 1. Where this Node is too old, the one that came with the packages takes over; without it, the cure is said.
// 2. The two are one to whoever started us: signals go on to the one that took over, its end is our end, and if we are killed,
//    by -9 too, it dies the same way at once. It holds a pipe whose other end closes with us alone.
import { spawn } from 'child_process';
import { existsSync } from 'fs';
import { Socket } from 'net';
import { dirname, join } from 'path';
import { fileURLToPath } from 'url';

const nodeMajorMin = 24;
const linkFd = 3;
const linkName = 'NODE_OF_HOLDFAST';

if (Number(process.versions.node.split('.')[0]) >= nodeMajorMin) {
  if (process.env[linkName] !== undefined) dieWithParent();
  await import('../src/main.ts');
} else {
  const node = process.env[linkName] === undefined ? findNode(dirname(fileURLToPath(import.meta.url))) : undefined;
  if (node === undefined) refuse();
  else handOver(node);
}

function refuse() {
  console.error(
    `holdfast: This is Node ${process.versions.node}, and Holdfast needs ${nodeMajorMin} or newer. ` +
      'In a checkout run "npm start" or "npm run setup" once, which bring it; elsewhere install it from https://nodejs.org.',
  );
  process.exitCode = 1;
}

/** The Node among the packages of this folder or of one above it. */
function findNode(folder) {
  const found = join(folder, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (existsSync(found)) return found;
  return dirname(folder) === folder ? undefined : findNode(dirname(folder));
}

/** Rule 2. */
function handOver(node) {
  const child = spawn(node, process.argv.slice(1), {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...process.env, [linkName]: String(linkFd) },
  });
  child.on('error', (error) => {
    console.error(`holdfast: ${node} did not start (${error.message}). Run "npm run setup".`);
    process.exitCode = 1;
  });
  // A terminal gives Ctrl-C to both of us; a second one from here would count as pressed twice.
  const isTerminal = [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !isTerminal) child.kill(signal);
    });
  }
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

function dieWithParent() {
  delete process.env[linkName];
  const link = new Socket({ fd: linkFd });
  link.on('error', () => {});
  link.on('close', () => process.kill(process.pid, 'SIGKILL'));
  link.resume();
  link.unref();
}
