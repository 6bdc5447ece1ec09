// node build.mjs WIT IN.js OUT.wasm: a scorer in JavaScript as a component that imports nothing of a system.
import { writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const [witPath, sourcePath, out] = process.argv.slice(2);
const disableFeatures = ['stdio', 'random', 'clocks', 'http', 'fetch-event'];
const { component } = await componentize({ sourcePath, witPath, worldName: 'scorer', disableFeatures });
await writeFile(out, component);
