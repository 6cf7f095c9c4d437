#!/usr/bin/env node
/**
 * The packages as they are published: `packages/client/dist` and `packages/react/dist`, each with its own package.json.
 *
 * Stages: bundle the entries (ES2022, the protocol's zod-free parts inside) → declarations by the compiler, those that the
 * entries reach, with the protocol's beside them → package.json, README, LICENSE → into place by one rename.
 *
 * 1. What is built is what is tested: sizes, publint, attw, the API report and the suite on Node 20 run on these directories.
 * 2. A package has no dependency that its package.json does not name: an unexpected one is an error here.
 * 3. A file for each module: a user's bundler puts a file into one chunk, so only so can what the client loads by `import()`
 *    be a chunk there too.
 * 4. They are compiled for what the oldest Node that is promised has: a newer built-in is an error here.
 * 5. Entries and their export conditions are those of the source's package.json: there is one list of them.
 * 5. Each file of the hooks says 'use client', so that a server component of Next may import it. The bundler would drop a source's own.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const own = createRequire(path.join(root, 'packages/client/package.json'));

const packages = [
  {
    name: 'client',
    external: [/^node:/],
    fields: {},
  },
  {
    name: 'react',
    external: ['react', 'react/jsx-runtime', '@holdfast/client'],
    fields: { peerDependencies: { '@holdfast/client': '0.1.0', react: '>=19' } },
  },
];

export async function buildPackages() {
  const draft = await mkdtemp(path.join(root, 'node_modules/.cache-build-')).catch(() => mkdtemp(tmpdir()));
  try {
    const declarations = await declare(path.join(draft, 'declared'));
    for (const each of packages) {
      const it = { ...each, ...(await entriesOf(each.name)) };
      const made = path.join(draft, it.name);
      await bundle(it, made);
      await addDeclarations(it, declarations, made);
      await addManifest(it, made);
      const dist = path.join(root, 'packages', it.name, 'dist');
      await rm(dist, { recursive: true, force: true });
      await rename(made, dist);
    }
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** 5. @returns the source manifest's exports, by sub-path and condition, and every source file that they name, by its built name */
async function entriesOf(name) {
  const { exports } = JSON.parse(await readFile(path.join(root, 'packages', name, 'package.json'), 'utf8'));
  const places = Object.entries(exports).map(([at, to]) => [at, typeof to === 'string' ? { default: to } : to]);
  const files = new Set(places.flatMap(([, conditions]) => Object.values(conditions)));
  return { places, entries: Object.fromEntries([...files].map((file) => [builtName(file), file])) };
}

/** `./src/index.node.ts` → `index.node`, `./src/node/index.ts` → `node` */
const builtName = (file) => file.replace(/^\.\/src\//, '').replace(/(\/index)?\.ts$/, '');

async function bundle({ name, entries, external }, made) {
  const { rolldown } = await import(pathToFileURL(own.resolve('rolldown')).href);
  const from = path.join(root, 'packages', name);
  const input = Object.fromEntries(Object.entries(entries).map(([key, file]) => [key, path.join(from, file)]));
  const build = await rolldown({
    input,
    external,
    platform: 'neutral',
    transform: { target: 'es2022', jsx: { runtime: 'automatic', development: false } },
    onLog(level, log) {
      if (log.code === 'UNRESOLVED_IMPORT') throw new Error(`${name}: ${log.message}`); // 2
    },
  });
  const { output } = await build.write({
    dir: made,
    format: 'esm',
    sourcemap: true,
    // 3
    preserveModules: true,
    preserveModulesRoot: path.join(root, 'packages'),
    // 5
    ...(name === 'react' ? { banner: "'use client';" } : {}),
    entryFileNames: '[name].js',
  });
  await build.close();
  const outside = new Set(output.flatMap((chunk) => (chunk.type === 'chunk' ? chunk.imports : [])));
  const known = [...outside].filter((it) => !output.some((chunk) => chunk.fileName === it));
  const strange = known.filter((it) => !external.some((ext) => (typeof ext === 'string' ? ext === it : ext.test(it))));
  if (strange.length > 0)
    throw new Error(`${name} would need ${strange.join(', ')}, which its package.json does not name.`);
}

/** Everything's declarations, once. @returns the directory */
async function declare(out) {
  await mkdir(out, { recursive: true });
  const config = path.join(out, 'tsconfig.json');
  const sources = ['packages/client/src', 'packages/react/src', 'packages/protocol/src'];
  const include = sources.map((it) => path.join(root, it));
  const tests = sources.map((it) => path.join(root, it, '**/*.test.ts'));
  const compilerOptions = {
    noEmit: false,
    emitDeclarationOnly: true,
    declaration: true,
    incremental: false,
    // 4
    lib: ['ES2023', 'ESNext.Disposable', 'DOM', 'DOM.Iterable', 'DOM.AsyncIterable'],
    rootDir: path.join(root, 'packages'),
    outDir: out,
    typeRoots: [path.join(root, 'node_modules/@types')],
  };
  await writeFile(
    config,
    JSON.stringify({ extends: path.join(root, 'tsconfig.json'), compilerOptions, include, exclude: tests }),
  );
  const tsc = path.join(root, 'node_modules/.bin/tsc');
  try {
    await promisify(execFile)(tsc, ['-p', config], { cwd: root });
  } catch (error) {
    throw new Error(`The declarations were not made:\n${error.stdout}`, { cause: error });
  }
  return out;
}

const IMPORT = /(from |import\()(['"])([^'"]+)\2/g;

/** Those that the entries reach, in one tree, each importing its neighbours as they will lie. */
async function addDeclarations({ name, entries }, declared, made) {
  const placed = new Set();
  const waiting = Object.values(entries).map((file) => path.join(declared, name, declarationOf(file)));
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (placed.has(file)) continue;
    placed.add(file);
    const text = await readFile(file, 'utf8');
    const target = path.join(made, 'types', path.relative(declared, file));
    const moved = text.replaceAll(IMPORT, (whole, lead, quote, specifier) => {
      const other = resolveDeclaration(specifier, file, declared, name);
      if (other === undefined) return whole;
      waiting.push(other);
      const relative = path
        .relative(path.dirname(file), other)
        .replaceAll('\\', '/')
        .replace(/\.d\.ts$/, '.js');
      return `${lead}${quote}${relative.startsWith('.') ? relative : `./${relative}`}${quote}`;
    });
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, moved);
  }
}

const declarationOf = (file) => file.replace(/\.tsx?$/, '.d.ts');

function resolveDeclaration(specifier, file, declared, name) {
  if (specifier.startsWith('.')) return path.resolve(path.dirname(file), declarationOf(specifier));
  const protocol = /^@holdfast\/protocol\/([\w-]+)$/.exec(specifier);
  if (protocol !== null) return path.join(declared, 'protocol/src', `${protocol[1]}.d.ts`);
  if (name === 'react' && specifier === '@holdfast/client') return undefined;
  if (specifier.startsWith('@holdfast/')) throw new Error(`${file} declares by ${specifier}, which is not published.`);
  return undefined;
}

async function addManifest({ name, places, fields }, made) {
  const from = path.join(root, 'packages', name);
  const { version, description, license, engines } = JSON.parse(
    await readFile(path.join(from, 'package.json'), 'utf8'),
  );
  // 5. A condition changes how it is done, never what it is: the types are the default's.
  const exports = Object.fromEntries(
    places.map(([at, conditions]) => {
      const types = `./${path.posix.join('types', name, declarationOf(conditions.default))}`;
      const built = Object.entries(conditions).map(([condition, file]) => [condition, `./${builtName(file)}.js`]);
      return [at, { types, ...Object.fromEntries(built) }];
    }),
  );
  const manifest = {
    name: `@holdfast/${name}`,
    version,
    description,
    license,
    type: 'module',
    sideEffects: false,
    exports: { ...exports, './package.json': './package.json' },
    ...(engines === undefined ? {} : { engines }),
    ...fields,
  };
  await writeFile(path.join(made, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  await cp(path.join(from, 'README.md'), path.join(made, 'README.md'));
  await cp(path.join(root, 'LICENSE'), path.join(made, 'LICENSE'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPackages();
