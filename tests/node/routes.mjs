// Runs openai-node's helpers and all routes that it knows and relay has; prints, as one JSON object, what each got.
// usage: node routes.mjs <server's address>; the packages are found through NODE_MODULES.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [root] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${process.env.NODE_MODULES}/`));
const OpenAI = require("openai").default ?? require("openai");
const { toFile } = require("openai");
const { zodResponseFormat, zodTextFormat, zodFunction } = require("openai/helpers/zod");
const { z } = require("zod");
const client = new OpenAI({ baseURL: `${root}/v1`, apiKey: "none", maxRetries: 0 });

const model = "demo";
const question = "What is the weather in Oslo?";
const introduction = "Jane is 54 years old.";
const person = z.object({ name: z.string(), age: z.number().int() });
const city = z.object({ city: z.string() });
const notes = Buffer.from("first line\n第二行\n");
const user = (content) => ({ role: "user", content });
const weather = {
  type: "function",
  name: "get_weather",
  description: "The weather of a city",
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
  strict: true,
};

const failure = (error) => ({ name: error.constructor.name, status: error.status ?? null, code: error.code ?? null });

const scenarios = {
  async streamHelper() {
    const stream = client.chat.completions.stream({ model, messages: [user("good morning")] });
    const pieces = [];
    stream.on("content", (piece) => pieces.push(piece));
    const final = await stream.finalChatCompletion();
    return { text: pieces.join(""), final: final.choices[0].message.content, pieces: pieces.length };
  },
  async runTools() {
    const asked = [];
    const tool = zodFunction({
      name: "get_weather",
      description: "The weather of a city",
      parameters: city,
      function: async (found) => {
        asked.push(found);
        return `It snows in ${found.city}.`;
      },
    });
    const runner = client.chat.completions.runTools({ model, messages: [user(question)], tools: [tool], stream: true });
    return { text: await runner.finalContent(), asked };
  },
  async parse() {
    const response_format = zodResponseFormat(person, "person");
    const done = await client.chat.completions.parse({ model, messages: [user(introduction)], response_format });
    return done.choices[0].message.parsed;
  },
  async responses() {
    const stream = client.responses.stream({ model, input: question, tools: [weather] });
    const kinds = new Set();
    for await (const event of stream) kinds.add(event.type);
    const first = await stream.finalResponse();
    const [call] = first.output.filter((item) => item.type === "function_call");
    const output = { type: "function_call_output", call_id: call.call_id, output: "It snows: minus 7." };
    const second = await client.responses.create({
      model,
      previous_response_id: first.id,
      input: [output],
      tools: [weather],
    });
    const kept = await client.responses.retrieve(second.id);
    await client.responses.delete(second.id);
    const gone = await client.responses.retrieve(second.id).then(() => null, failure);
    return {
      kinds: [...kinds],
      arguments: JSON.parse(call.arguments),
      text: second.output_text,
      kept: kept.output_text,
      gone,
    };
  },
  async responsesParse() {
    const text = { format: zodTextFormat(person, "person") };
    return (await client.responses.parse({ model, input: introduction, text })).output_parsed;
  },
  async files() {
    const kept = await client.files.create({ file: await toFile(notes, "notes.txt"), purpose: "user_data" });
    const listed = [];
    for await (const file of client.files.list()) listed.push(file.id);
    const content = Buffer.from(await (await client.files.content(kept.id)).arrayBuffer());
    const parts = [
      { type: "text", text: "Read it." },
      { type: "file", file: { file_id: kept.id } },
    ];
    const answer = await client.chat.completions.create({ model, messages: [user(parts)] });
    await client.files.delete(kept.id);
    const gone = await client.files.retrieve(kept.id).then(() => null, failure);
    const text = answer.choices[0].message.content;
    return { listed: listed.includes(kept.id), same: content.equals(notes), text, gone };
  },
  async images() {
    const drawn = await client.images.generate({ model, prompt: "draw a cat", response_format: "b64_json" });
    return Buffer.from(drawn.data[0].b64_json, "base64").toString().trimStart().slice(0, 4);
  },
  async speech() {
    const asked = { model: "tts-1", voice: "alloy", input: "hello" };
    return client.audio.speech.create(asked).then(() => null, failure);
  },
  async transcription() {
    const file = await toFile(Buffer.from("RIFF"), "a.wav");
    return client.audio.transcriptions.create({ model: "whisper-1", file }).then(() => null, failure);
  },
  async audioIn() {
    const data = Buffer.from("ID3\u0003\u0000 not much of a song").toString("base64");
    const parts = [
      { type: "text", text: "Listen." },
      { type: "input_audio", input_audio: { data, format: "mp3" } },
    ];
    const answer = await client.chat.completions.create({ model, messages: [user(parts)] });
    return answer.choices[0].message.content;
  },
  async refused() {
    return client.chat.completions.create({ model: "demo/rate-limited", messages: [user("hi")] }).then(() => null, failure);
  },
};

const got = {};
for (const [name, run] of Object.entries(scenarios)) {
  got[name] = await run().catch((error) => ({ error: `${error.name}: ${error.message} ${error.stack}` }));
}
console.log(JSON.stringify(got));
