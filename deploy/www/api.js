/*
 * Shows openapi.json (OpenAPI 3.1): what that file uses of it, no more.
 */
"use strict";

(function () {

let file;

/* ---- elements ----------------------------------------------------------- */

/* An element with properties and children; texts become text. */
function make(name, properties, ...children)
{
	const element = document.createElement(name);

	Object.assign(element, properties);
	element.append(...children.filter((child) => child !== null));
	return element;
}

/* A line of text in which `this` is code. */
function line(text)
{
	return text.split("`").map((piece, i) =>
		i % 2 ? make("code", {}, piece) : piece);
}

function paragraphs(text)
{
	return (text || "").split("\n\n").filter(Boolean)
		.map((part) => make("p", {}, ...line(part)));
}

function example(value)
{
	const text = typeof value === "string" ? value :
		JSON.stringify(value, null, 2);

	return make("pre", { tabIndex: 0 }, text);
}

/* ---- references --------------------------------------------------------- */

/* The object, with what it refers to; what stands beside "$ref" wins. */
function follow(node)
{
	const { $ref: reference, ...rest } = node;
	let target = file;

	if (reference === undefined)
		return node;
	for (const name of reference.replace(/^#\//, "").split("/"))
		target = target[name.replace(/~1/g, "/").replace(/~0/g, "~")];
	return { ...follow(target), ...rest };
}

/* ---- schemas ------------------------------------------------------------ */

/* "a string, 1 to 63 characters" and the like. */
function typeOf(schema)
{
	const words = [];

	if ("const" in schema)
		return `always ${JSON.stringify(schema.const)}`;
	if (schema.enum)
		return schema.enum.map((value) => JSON.stringify(value))
			.join(" or ");
	if (schema.anyOf)
		return [...new Set(schema.anyOf.map((choice) =>
			typeOf(follow(choice))))].join(" or ");
	words.push([].concat(schema.type || "anything").join(" or "));
	if (schema.minimum !== undefined && schema.maximum !== undefined)
		words.push(`${schema.minimum} to ${schema.maximum}`);
	if (schema.minLength && schema.maxLength)
		words.push(`${schema.minLength} to ${schema.maxLength} ` +
			"characters");
	return words.join(", ");
}

/* The members of an object, and theirs. A refined one has both schemas. */
function members(schema)
{
	const below = follow(schema);
	const base = schema.$ref ? follow({ $ref: schema.$ref }) : below;
	const own = base.properties || {};
	const refined = schema.properties || {};
	const required = base.required || [];
	const list = make("ul", { className: "members" });

	for (const [name, described] of Object.entries(own)) {
		const member = { ...follow(described), ...refined[name] };
		const optional = !required.includes(name);

		list.append(make("li", {}, make("b", {}, name), " ",
			make("span", { className: "type" }, typeOf(member) +
				(optional ? ", optional" : "")),
			...paragraphs(member.description),
			member.type === "object" ? members(member) : null));
	}
	return list;
}

function body(type, content)
{
	const schemas = content.schema.anyOf || [content.schema];
	const examples = Object.values(content.examples || {});

	if ("example" in content)
		examples.push({ value: content.example });
	return [
		make("p", { className: "type" }, make("code", {}, type)),
		...schemas.flatMap((schema) => follow(schema).properties ?
			[members(schema)] : paragraphs(schema.description)),
		...examples.flatMap((one) => [
			one.summary ? make("p", { className: "hint" },
				one.summary) : null,
			example(one.value)])
	].filter((element) => element !== null);
}

function bodies(described)
{
	return Object.entries(described.content || {})
		.flatMap(([type, content]) => body(type, content));
}

/* ---- operations --------------------------------------------------------- */

function parameters(operation)
{
	const list = make("ul", { className: "members" });

	if (!operation.parameters)
		return [];
	for (const one of operation.parameters.map(follow))
		list.append(make("li", {}, make("b", {}, one.name), " ",
			make("span", { className: "type" }, `in the ${one.in}` +
				(one.required ? "" : ", optional")),
			...paragraphs(one.description)));
	return [make("h3", {}, "Parameters"), list];
}

function request(operation)
{
	if (!operation.requestBody)
		return [];
	const described = follow(operation.requestBody);
	return [make("h3", {}, "Body"), ...paragraphs(described.description),
		...bodies(described)];
}

function headers(described)
{
	const list = make("ul", { className: "members" });

	for (const [name, node] of Object.entries(described.headers || {}))
		list.append(make("li", {}, make("b", {}, name), ": ",
			...line(follow(node).description)));
	return list.children.length ?
		[make("p", { className: "hint" }, "Headers"), list] : [];
}

function answer([status, node])
{
	const described = follow(node);
	const good = status.startsWith("2");

	return make("details", { className: "answer", open: good },
		make("summary", {}, make("span", {
			className: `status ${good ? "good" : ""}` },
			status === "default" ? "other" : status), " ",
			...line(described.description)),
		...bodies(described), ...headers(described));
}

function shown(operation)
{
	const names = new Set(operation.security.flatMap(Object.keys));

	return [...paragraphs(operation.description),
		...parameters(operation), ...request(operation),
		make("h3", {}, "Answers"),
		...Object.entries(operation.responses).map(answer),
		make("h3", {}, "Who may call"),
		make("p", {}, names.size === 0 ? "Whom the web server lets." :
			"Everybody, or who shows what the installation asks " +
			`for: ${[...names].join(", ")}.`)];
}

/* All there is: path, method and operation, those that are alike together. */
function operations()
{
	const groups = new Map();

	for (const [path, item] of Object.entries(file.paths))
		for (const [method, operation] of Object.entries(item)) {
			const key = JSON.stringify([method, operation.responses,
				operation.requestBody]);
			const group = groups.get(key) || { method, operation,
				paths: [] };

			group.paths.push(path);
			groups.set(key, group);
		}
	return [...groups.values()];
}

function section(group)
{
	const { operation } = group;
	const id = operation.operationId;

	return make("section", { className: "card", id },
		make("h2", {}, operation.summary),
		...group.paths.map((path) =>
			make("p", { className: "address" },
				make("span", { className: "method" },
					group.method.toUpperCase()), path)),
		...shown(operation));
}

function contents(groups)
{
	const list = make("ul");

	for (const { operation, method, paths } of groups)
		list.append(make("li", {}, make("a", {
			href: `#${operation.operationId}` }, operation.summary),
			` ${method.toUpperCase()} ${paths[0]}`));
	return make("nav", { className: "card contents",
		ariaLabel: "Contents" }, list);
}

function security()
{
	const list = make("ul", { className: "members" });
	const schemes = file.components.securitySchemes;

	for (const [name, scheme] of Object.entries(schemes))
		list.append(make("li", {}, make("b", {}, name), " ",
			make("span", { className: "type" },
				scheme.type === "http" ?
					"Authorization: Bearer …" :
					`${scheme.name}: …`),
			...paragraphs(scheme.description)));
	return make("section", { className: "card" },
		make("h2", {}, "Keys and tokens"), list);
}

function servers()
{
	const list = make("ul", { className: "members" });

	for (const { url, description } of file.servers)
		list.append(make("li", {}, make("code", {},
			new URL(url, document.baseURI).href), " ",
			description));
	return list;
}

function show()
{
	const groups = operations();

	document.getElementById("title").textContent =
		`${file.info.title}: API`;
	document.getElementById("main").replaceChildren(
		...paragraphs(file.info.description), servers(),
		make("p", { className: "hint" }, `Version ${file.info.version}, `,
			make("a", { href: "openapi.json" }, "openapi.json"),
			` (OpenAPI ${file.openapi})`),
		contents(groups), ...groups.map(section), security());
	if (location.hash)
		document.getElementById(location.hash.slice(1))
			?.scrollIntoView();
}

async function read()
{
	try {
		const response = await fetch("openapi.json");

		if (!response.ok)
			throw new Error(`HTTP status ${response.status}`);
		file = await response.json();
		show();
	} catch (error) {
		document.getElementById("wait").textContent =
			`openapi.json cannot be read: ${error.message}`;
		throw error;	/* to the console, with its place */
	}
}

read();

})();
