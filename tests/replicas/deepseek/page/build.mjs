// Bundles the page into ../static, which is committed. Run `npm ci && npm run build` after a change here.
import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";

await build({
  entryPoints: { app: "src/main.js", pow: "src/pow.js", style: "src/style.css" },
  bundle: true,
  minify: true,
  format: "esm",
  target: "chrome120",
  outdir: "../static",
  legalComments: "none",
  loader: { ".woff2": "empty", ".woff": "empty", ".ttf": "empty" },
  nodePaths: ["node_modules"], // for the renderer, which lies with the other page
});

const bundled = ["marked", "marked-katex-extension", "katex"];
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
