#!/usr/bin/env node
// The door: plain JavaScript that any Node can read, so that an old one gets an answer instead of a syntax error.
const nodeMajorMin = 24;

if (Number(process.versions.node.split('.')[0]) < nodeMajorMin) {
  console.error(
    `holdfast needs Node ${nodeMajorMin} or newer, and this is ${process.version}. ` +
      'In a checkout "npm start" brings its own; elsewhere install a newer Node.',
  );
  process.exit(1);
}

await import('../src/index.ts');
