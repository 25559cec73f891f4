// Bundles the page into ../static, which is committed. Run `npm ci && npm run build` after a change here.
import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";

await build({
  entryPoints: { app: "src/main.js", style: "src/style.css" },
  bundle: true,
  minify: true,
  format: "esm",
  target: "chrome120",
  outdir: "../static",
  legalComments: "none",
  loader: { ".woff2": "empty", ".woff": "empty", ".ttf": "empty" },
});

const bundled = ["lexical", "@lexical/rich-text", "@lexical/history", "marked", "marked-katex-extension", "katex"];
const notes = await Promise.all(
  bundled.map(async (name) => {
    const { version } = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"));
    // All of @lexical/* is under lexical's licence.
    const home = name.startsWith("@lexical/") ? "lexical" : name;
    const licence = await readFile(`node_modules/${home}/LICENSE`, "utf8").catch(() =>
      readFile(`node_modules/${home}/LICENSE.md`, "utf8"),
    );
    return `${name} ${version}\n\n${licence.trim()}\n`;
  }),
);
await writeFile("../static/LICENSES.txt", `app.js and style.css contain:\n\n${notes.join("\n----\n\n")}`);
