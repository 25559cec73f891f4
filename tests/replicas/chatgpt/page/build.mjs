// Bundles the page into ../static, which is committed. Run `npm ci && npm run build` after a change here.
import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";

const common = {
  bundle: true,
  minify: true,
  target: "chrome120",
  outdir: "../static",
  legalComments: "none",
  loader: { ".woff2": "empty", ".woff": "empty", ".ttf": "empty" },
  nodePaths: ["node_modules"], // the Markdown of Kimi's page is used here too, with this page's packages
  metafile: true,
};
const page = await build({ ...common, entryPoints: { app: "src/main.js", style: "src/style.css" }, format: "esm" });
await build({ ...common, entryPoints: { sdk: "src/sdk.js" }, format: "iife" });

const bundled = Object.keys(page.metafile.inputs).map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]);
const notes = await Promise.all(
  [...new Set(bundled.filter(Boolean))].sort().map(async (name) => {
    const { version } = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"));
    const licence = await readFile(`node_modules/${name}/LICENSE`, "utf8").catch(() =>
      readFile(`node_modules/${name}/LICENSE.md`, "utf8"),
    );
    return `${name} ${version}\n\n${licence.trim()}\n`;
  }),
);
await writeFile("../static/LICENSES.txt", `app.js and style.css contain:\n\n${notes.join("\n----\n\n")}`);
