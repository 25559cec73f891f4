// Runs openai-node against a server and prints what it got as one JSON object.
// usage: node chat.mjs <base url> <scenario> [<model> <prompt>]; the packages are found through NODE_MODULES.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [baseURL, scenario, model = "demo", content = "hi"] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${process.env.NODE_MODULES}/`));
const OpenAI = require("openai").default ?? require("openai");
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content }];

async function collect(stream) {
  let content = "", reasoning = "", finish = null, usage = null, annotations = [];
  const ids = new Set();
  for await (const chunk of stream) {
    ids.add(chunk.id);
    const choice = chunk.choices[0];
    content += choice?.delta?.content ?? "";
    reasoning += choice?.delta?.reasoning_content ?? "";
    annotations.push(...(choice?.delta?.annotations ?? []));
    finish = choice?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  return { content, reasoning, finish, usage, annotations, ids: ids.size };
}

function failure(error) {
  return {
    name: error.constructor.name,
    status: error.status ?? null,
    code: error.code ?? null,
    type: error.type ?? null,
    requestID: error.requestID ?? null,
  };
}

const scenarios = {
  async whole() {
    const { data, request_id } = await client.chat.completions.create({ model, messages }).withResponse();
    return { content: data.choices[0].message.content, finish: data.choices[0].finish_reason, request_id };
  },
  async stream() {
    const options = { stream: true, stream_options: { include_usage: true } };
    return collect(await client.chat.completions.create({ model, messages, ...options }));
  },
  async rich() {
    return collect(await client.chat.completions.create({ model: "demo/rich", messages, stream: true }));
  },
  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    return { ids, one: (await client.models.retrieve("demo/echo")).id };
  },
  async unknown() {
    return client.chat.completions.create({ model: "nope", messages }).then(() => null, failure);
  },
  async cut() {
    const stream = await client.chat.completions.create({ model: "demo/cut", messages, stream: true });
    return collect(stream).then(() => null, failure);
  },
  async cancel() {
    const stream = await client.chat.completions.create({ model: "demo/slow", messages, stream: true });
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta?.content) break;
    }
    stream.controller.abort();
    return { aborted: true };
  },
  async cancelResponse() {
    const stream = await client.responses.create({ model: "demo/slow", input: content, stream: true });
    for await (const event of stream) if (event.type === "response.output_text.delta") break;
    stream.controller.abort();
    return { aborted: true };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
