// Runs the official OpenAI client for Node against a gateway and prints what it saw, as JSON.
// Usage: node client.mjs <base url> <api key>
import OpenAI, { toFile } from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "the quick brown fox jumps over the lazy dog" }];
const tool = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
    },
  },
};

const pixel =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const parts = [
  { type: "text", text: "what is this" },
  { type: "image_url", image_url: { url: `data:image/png;base64,${pixel}` } },
];
const sound = [{ type: "input_audio", input_audio: { data: "AAAA".repeat(800), format: "wav" } }];

async function collect(params) {
  const chunks = [];
  const stream = await client.chat.completions.create({ ...params, stream: true });
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const prompt = "a red circle";
const low = { size: "64x64", quality: "low" };
const png = () => toFile(Buffer.from(pixel, "base64"), "weiß.png", { type: "image/png" });

async function collectImages(params) {
  const events = [];
  const stream = await client.images.generate({ ...params, prompt, ...low, stream: true });
  for await (const event of stream) events.push(event);
  return events;
}

async function fails(call) {
  try {
    await call();
    return null;
  } catch (error) {
    return { status: error.status, type: error.type, code: error.code, message: error.message };
  }
}

const seen = {
  plain: await client.chat.completions.create({ model: "demo-echo", messages }),
  official: await client.chat.completions.create({ model: "demo-echo-official", messages }),
  stream: await collect({ model: "demo-echo", messages }),
  streamUsage: await collect({
    model: "demo-echo",
    messages,
    stream_options: { include_usage: true },
  }),
  streamOfficial: await collect({ model: "demo-echo-official", messages }),
  streamOfficialUsage: await collect({
    model: "demo-echo-official",
    messages,
    stream_options: { include_usage: true },
  }),
  web: await client.chat.completions.create({ model: "web-demo-sources", messages }),
  webStream: await collect({ model: "web-demo-sources", messages }),
  webStreamUsage: await collect({
    model: "web-demo-sources",
    messages,
    stream_options: { include_usage: true },
  }),
  tools: await client.chat.completions.create({ model: "demo-tools", messages, tools: [tool] }),
  toolStream: await client.chat.completions
    .stream({ model: "demo-tools", messages, tools: [tool] })
    .finalChatCompletion(),
  structured: await client.chat.completions.parse({
    model: "demo-echo",
    messages,
    response_format: {
      type: "json_schema",
      json_schema: {
        name: "city",
        schema: {
          type: "object",
          properties: { name: { type: "string" }, population: { type: "integer" } },
          required: ["name", "population"],
        },
      },
    },
  }),
  logprobs: await client.chat.completions.create({ model: "demo-echo", messages, logprobs: true }),
  logprobStream: await collect({ model: "demo-echo", messages, logprobs: true }),
  vision: await collect({ model: "demo-echo", messages: [{ role: "user", content: parts }] }),
  audio: await client.chat.completions.create({
    model: "demo-echo",
    messages: [{ role: "user", content: sound }],
    modalities: ["text", "audio"],
    audio: { voice: "alloy", format: "pcm16" },
  }),
  two: await client.chat.completions.create({ model: "demo-echo", messages, n: 2 }),
  image: await client.images.generate({ model: "demo-image", prompt, ...low, n: 2 }),
  imageOfficial: await client.images.generate({ model: "demo-image-official", prompt, ...low }),
  imageEdit: await client.images.edit({
    model: "demo-image",
    prompt,
    image: [await png(), await png()],
    ...low,
  }),
  imageVariation: await client.images.createVariation({
    model: "demo-image",
    image: await png(),
    size: "64x64",
  }),
  imageStream: await collectImages({ model: "demo-image", partial_images: 2 }),
  imageStreamOfficial: await collectImages({ model: "demo-image-official" }),
  imageFew: await client.images.generate({ model: "demo-image-few", prompt, ...low, n: 2 }),
  imageNone: await fails(() => client.images.generate({ model: "demo-image-none", prompt })),
  imageBroken: await fails(() => collectImages({ model: "demo-image-break", n: 2 })),
  models: (await client.models.list()).data,
  model: await client.models.retrieve("demo-echo-official"),
  wrongKey: await fails(() =>
    new OpenAI({ baseURL, apiKey: "sk-tg-wrong", maxRetries: 0 }).chat.completions.create({
      model: "demo-echo",
      messages,
    }),
  ),
  unknownModel: await fails(() =>
    client.chat.completions.create({ model: "no-such-model", messages }),
  ),
  failedSearch: await fails(() =>
    client.chat.completions.create({
      model: "web-demo-sources",
      messages: [{ role: "user", content: "demo-search-fail" }],
    }),
  ),
  brokenStream: await fails(() => collect({ model: "demo-break", messages })),
};
process.stdout.write(JSON.stringify(seen));
