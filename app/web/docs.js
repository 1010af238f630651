"use strict";
// Renders openapi.json with nothing from elsewhere: every operation, its parameters, body, answers, and a form to try it.

const METHODS = ["get", "post", "put", "patch", "delete"];

const element = (tag, members = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), members);
  made.append(...children);
  return made;
};

const json = (value) => JSON.stringify(value, null, 2);

// An example of what a schema accepts: its own example where it has one, else the shortest thing that fits.
function example(schema, document_, depth = 0) {
  if (schema === undefined || depth > 8) return null;
  if (schema.$ref) return example(document_.components.schemas[schema.$ref.split("/").pop()], document_, depth + 1);
  if (schema.examples?.length) return schema.examples[0];
  if ("default" in schema) return schema.default;
  if ("const" in schema) return schema.const;
  if (schema.enum) return schema.enum[0];
  const choice = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (choice) return example(choice[0], document_, depth + 1);
  if (schema.properties) {
    const wanted = schema.required ?? [];
    return Object.fromEntries(
      Object.entries(schema.properties)
        .filter(([name]) => wanted.includes(name))
        .map(([name, property]) => [name, example(property, document_, depth + 1)]),
    );
  }
  return { array: [], object: {}, string: "", integer: 0, number: 0, boolean: false }[schema.type] ?? null;
}

function parameterField(parameter) {
  const input = element("input", { name: parameter.name, required: parameter.required === true });
  input.dataset.where = parameter.in;
  const note = element("small", { textContent: ` ${parameter.in}${parameter.description ? ": " + parameter.description : ""}` });
  return element("label", {}, parameter.name + " ", input, note);
}

function requestOf(method, path, form) {
  const headers = {};
  const query = new URLSearchParams();
  let url = path;
  for (const input of form.querySelectorAll("input")) {
    if (input.value === "") continue;
    if (input.dataset.where === "path") url = url.replace(`{${input.name}}`, encodeURIComponent(input.value));
    if (input.dataset.where === "query") query.append(input.name, input.value);
    if (input.dataset.where === "header") headers[input.name] = input.value;
  }
  const body = form.querySelector("textarea")?.value;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  return [url + (query.size ? `?${query}` : ""), { method: method.toUpperCase(), headers, body }];
}

async function tried(method, path, form, output) {
  output.textContent = "…";
  try {
    const response = await fetch(...requestOf(method, path, form));
    const text = await response.text();
    const isJson = (response.headers.get("content-type") ?? "").includes("json");
    output.textContent = `${response.status} ${response.statusText}\n\n${isJson ? json(JSON.parse(text)) : text.slice(0, 20000)}`;
  } catch (error) {
    output.textContent = String(error);
  }
}

function operationView(method, path, operation, document_) {
  const form = element("form", {}, ...(operation.parameters ?? []).map(parameterField));
  const body = operation.requestBody?.content["application/json"];
  if (body) form.append(element("textarea", { value: json(example(body.schema, document_)), spellcheck: false }));
  const output = element("pre", { textContent: "" });
  form.append(element("button", { textContent: "Send" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    tried(method, path, form, output);
  });
  const answers = element("table");
  for (const [status, answer] of Object.entries(operation.responses)) {
    answers.append(element("tr", {}, element("td", { textContent: status }), element("td", { textContent: answer.description })));
  }
  const name = element("code", { textContent: `${method.toUpperCase()} ${path}` });
  return element("details", {}, element("summary", {}, name, ` ${operation.description ?? ""}`), form, output, answers);
}

async function render() {
  const document_ = await (await fetch("openapi.json")).json();
  const about = document.getElementById("about");
  about.textContent = `${document_.info.description} `;
  about.append(element("a", { href: "openapi.json", textContent: `openapi.json (${document_.info.version})` }));
  const sections = new Map();
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const method of METHODS.filter((name) => name in methods)) {
      const tag = methods[method].tags?.[0] ?? "other";
      if (!sections.has(tag)) sections.set(tag, element("section", {}, element("h2", { textContent: tag })));
      sections.get(tag).append(operationView(method, path, methods[method], document_));
    }
  }
  document.getElementById("operations").append(...sections.values());
}

render();
