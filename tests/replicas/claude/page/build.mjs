// Bundles the page into ../static, which is committed. Run `npm ci && npm run build` after a change here.
import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";

const { metafile } = await build({
  entryPoints: { app: "src/main.js", style: "src/style.css" },
  bundle: true,
  minify: true,
  metafile: true,
  format: "esm",
  target: "chrome120",
  outdir: "../static",
  legalComments: "none",
  nodePaths: [new URL("node_modules", import.meta.url).pathname], // Kimi's page shares its Markdown; its packages need not be installed
  loader: { ".woff2": "empty", ".woff": "empty", ".ttf": "empty" },
});

// Whatever went in is listed, what it needs itself too.
const inside = Object.keys(metafile.inputs).map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1]);
const bundled = [...new Set(inside.filter(Boolean))].sort();
const notes = await Promise.all(
  bundled.map(async (name) => {
    const { version } = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"));
    const licence = await readFile(`node_modules/${name}/LICENSE`, "utf8").catch(() =>
      readFile(`node_modules/${name}/LICENSE.md`, "utf8"),
    );
    return `${name} ${version}\n\n${licence.trim()}\n`;
  }),
);
await writeFile("../static/LICENSES.txt", `app.js and style.css contain:\n\n${notes.join("\n----\n\n")}`);
