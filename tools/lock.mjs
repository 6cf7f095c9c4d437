/**
 * Checks what npm does not: that package-lock.json serves every machine and not only the one that wrote it.
 *
 *   L1  It names no registry host, so each machine asks the one that it is set up for.
 *   L2  It holds the packages of every platform. npm leaves out, silently, those that its registry did not have at
 *       that moment; "npm ci" then refuses the file elsewhere. The cure is a version that is there for all of them.
 */
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';

const { packages } = JSON.parse(
  fs.readFileSync(fileURLToPath(new URL('../package-lock.json', import.meta.url)), 'utf8'),
);

const faults = Object.entries(packages).flatMap(([place, entry]) => [
  ...hostsIn(place, entry),
  ...absentFrom(place, entry),
]);
for (const fault of faults) console.error(`package-lock.json: ${fault}`);
if (faults.length > 0) process.exitCode = 1;

/** L1. */
function hostsIn(place, { resolved = '' }) {
  if (!/^[a-z+]+:\/\//.test(resolved)) return [];
  return [`${place} is resolved to ${resolved}. Keep .npmrc as it is, delete the lock file and run "npm install".`];
}

/** L2. */
function absentFrom(place, { optionalDependencies = {} }) {
  return Object.entries(optionalDependencies)
    .filter(([name]) => !placesOf(place, name).some((candidate) => candidate in packages))
    .map(
      ([name, range]) =>
        `${place} wants ${name}@${range}, which is not in it. Choose a version of ${lastName(place)} whose packages exist for every platform.`,
    );
}

/** Where a package is looked for: below its dependent, then below each folder above. */
function placesOf(place, name) {
  const parents = [place];
  for (let cut = place.lastIndexOf('/node_modules/'); cut > 0; cut = place.lastIndexOf('/node_modules/', cut - 1)) {
    parents.push(place.slice(0, cut));
  }
  return [...parents.map((parent) => `${parent}/node_modules/${name}`), `node_modules/${name}`];
}

function lastName(place) {
  return place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);
}
