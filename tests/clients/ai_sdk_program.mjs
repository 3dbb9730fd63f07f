// Databricks' provider for the AI SDK, as its documentation uses it: HOST TOKEN. Prints one line of JSON for each thing tried.
// Runs in a folder that holds the packages; the endpoints are those of test_matrix.py.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [host, token] = process.argv.slice(2);
const packages = createRequire(pathToFileURL(`${process.cwd()}/package.json`));
const { createDatabricksProvider } = packages("@databricks/ai-sdk-provider");
const { generateText, streamText } = packages("ai");

const provider = createDatabricksProvider({
  baseURL: `${host}/serving-endpoints`,
  headers: { Authorization: `Bearer ${token}` },
});

async function whole(model) {
  return (await generateText({ model, prompt: "hello", maxRetries: 0 })).text;
}

async function streamed(model) {
  let text = "";
  let failure;
  const result = streamText({ model, prompt: "hello", maxRetries: 0, onError: ({ error }) => (failure = error) });
  for await (const part of result.textStream) text += part;
  if (failure) throw failure;
  return text;
}

const cases = {
  "chatCompletions, generateText": () => whole(provider.chatCompletions("matrix-parts")),
  "chatCompletions, streamText": () => streamed(provider.chatCompletions("matrix-parts")),
  "chatCompletions of a ChatModel": () => whole(provider.chatCompletions("matrix-chat")),
  "chatAgent, generateText": () => whole(provider.chatAgent("matrix-agent")),
  "chatAgent, streamText": () => streamed(provider.chatAgent("matrix-agent")),
  "responses, generateText": () => whole(provider.responses("matrix-responses")),
  "responses, streamText": () => streamed(provider.responses("matrix-responses")),
};

for (const [name, ask] of Object.entries(cases)) {
  let error = null;
  try {
    const text = await ask();
    if (!text.startsWith("heard hello")) error = `answered ${JSON.stringify(text)}`;
  } catch (caught) {
    error = `${caught.name}: ${caught.message}`;
  }
  console.log(JSON.stringify({ case: name, error }));
}
