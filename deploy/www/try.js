/*
 * The try-it page: a visitor's whole way through the API. Where Agora's Web
 * SDKs are installed (vendor/README.md) one can talk to the agent; without them
 * the page does the backend's part alone.
 */
"use strict";

(function () {

const RENEW_BEFORE_S = 60;	/* of a token's life */
const RENEW_AGAIN_S = 10;	/* after a renewal that failed */
const TIMER_MAX_S = 86400;	/* setTimeout() knows 24 days at most */
const ENTER_S = 20;
const LEAVE_S = 3;

const api = new URL(
	document.querySelector("meta[name=agora-agent-api]").content,
	document.baseURI);
const ids = {};
let session = null;

for (const element of document.querySelectorAll("[id]"))
	ids[element.id] = element;

/* ---- what is shown ------------------------------------------------------ */

function showState(state, text)
{
	ids.state.dataset.state = state;
	ids.state.textContent = text;
}

function showError(text, cause)
{
	ids.error.hidden = false;
	ids.detail.textContent = text;
	ids.cause.textContent = cause || "";
}

function showButtons()
{
	const running = session !== null;

	ids.start.disabled = running;
	ids.stop.disabled = !running || session.stopping;
	ids.mute.hidden = !running || !session.microphone;
	if (!running)
		ids.sound.hidden = true;
}

function showFact(id, value)
{
	ids[id].textContent = value || "–";
}

function showConfig(config)
{
	showFact("channel", config.channel_name);
	showFact("uid", config.uid);
	showFact("agent-uid", config.agent_uid);
	showFact("expires",
		new Date(config.expires_at * 1000).toLocaleString());
}

function showCall(method, path, outcome, ms, id)
{
	const item = document.createElement("li");

	item.textContent = `${method} ${path}: ${outcome}, ${ms} ms` +
		(id ? `, id ${id}` : "");
	ids.calls.append(item);
}

/*
 * One turn of one side is one item, whose text grows. Pieces may overtake each
 * other: ${number} counts them where they are counted.
 */
function showTurn(who, turn, text, number, how)
{
	const key = `${who}-${turn}`;
	let item = ids.transcript.querySelector(`[data-turn="${key}"]`);
	let name;

	if (item === null) {
		item = document.createElement("li");
		item.dataset.turn = key;
		name = document.createElement("b");
		name.textContent = who === "user" ? "You" : "Agent";
		item.append(name, document.createElement("span"));
		ids.transcript.append(item);
		ids.silence.hidden = true;
	}
	if (number < Number(item.dataset.number || 0))
		return;
	item.dataset.number = number;
	item.className = `${who} ${how}`;
	item.lastChild.textContent = text;
	item.scrollIntoView({ block: "nearest" });
}

function forgetTurns()
{
	ids.transcript.replaceChildren();
	ids.silence.hidden = false;
}

/* ---- the API ------------------------------------------------------------ */

/* An answer that is an error, or none; its message is for a person. */
class CallError extends Error {
	constructor(text, cause, status)
	{
		super(text);
		this.cause = cause;
		this.status = status;
	}
}

function errorOf(response, body)
{
	const wait = response.headers.get("Retry-After");
	const causes = [];

	if (body === null)
		return new CallError("The web server did not answer in JSON " +
			`(HTTP status ${response.status}); are the routes of ` +
			"the API where this page looks for them?",
			api.href, response.status);
	if (wait)
		causes.push(`Try again in ${wait} s.`);
	if (body.request_id)
		causes.push(`In the logs: id=${body.request_id}`);
	return new CallError(body.detail || body.msg || "No reason was given.",
		causes.join(" "), response.status);
}

/* What shows that we may call; ${token} of get_config may be null. */
function credentials(token)
{
	const headers = {};

	if (ids.key.value !== "")
		headers.Authorization = `Bearer ${ids.key.value}`;
	if (token)
		headers["X-Agora-Token"] = token;
	return headers;
}

/* Returns the answer's "data" with the Date of the web server as "now". */
async function call(method, path, token, members)
{
	const begun = performance.now();
	const request = { method, headers: credentials(token),
		cache: "no-store" };
	let response, body;

	if (members !== undefined) {
		request.headers["Content-Type"] = "application/json";
		request.body = JSON.stringify(members);
	}
	const took = () => Math.round(performance.now() - begun);
	try {
		response = await fetch(new URL(path, api), request);
	} catch (error) {
		showCall(method, path, "no answer", took());
		throw new CallError("The web server cannot be reached.",
			error.message, 0);
	}
	body = await response.json().catch(() => null);
	showCall(method, path.replace(/\?.*/, ""), response.status, took(),
		response.headers.get("X-Request-Id"));
	if (!response.ok || body === null || body.code !== 0)
		throw errorOf(response, body);
	return { ...body.data,
		now: Date.parse(response.headers.get("Date")) || Date.now() };
}

/*
 * A call that wants a token only where the backend does (REQUIRE_TOKEN): only
 * without one can a page that is being closed use sendBeacon.
 */
async function callWithToken(s, path, members)
{
	const token = () => s.tokenWanted ? s.config.token : null;

	try {
		return await call("POST", path, token(), members);
	} catch (error) {
		if (error.status !== 401 || s.tokenWanted)
			throw error;
		s.tokenWanted = true;
		return call("POST", path, token(), members);
	}
}

function startMembers(config)
{
	const members = { channelName: config.channel_name,
		rtcUid: config.agent_uid, userUid: config.uid };

	if (ids.profile.value !== "")
		members.profile = ids.profile.value;
	if (ids.codec.value !== "")
		members.parameters = { output_audio_codec: ids.codec.value };
	return members;
}

function stopMembers(s)
{
	return { agentId: s.agent, channelName: s.config.channel_name };
}

/* ---- the token ---------------------------------------------------------- */

/*
 * By the server's clock, as expires_at is. Renewed early, but not all the time
 * where tokens live no longer than that.
 */
function renewLater(s)
{
	const life = s.config.expires_at - s.config.now / 1000;
	const wait = life - Math.min(RENEW_BEFORE_S, life / 2);

	clearTimeout(s.timer);
	s.timer = setTimeout(renew, Math.min(wait, TIMER_MAX_S) * 1000, s);
}

async function renew(s)
{
	const query = new URLSearchParams({ channel: s.config.channel_name,
		uid: s.config.uid });

	try {
		const config = await call("GET", `get_config?${query}`, null);

		if (s !== session)
			return;
		s.config = config;
		showConfig(config);
		renewLater(s);
		if (s.rtc)
			await s.rtc.renewToken(config.token);
		if (s.rtm)
			await s.rtm.renewToken(config.token);
	} catch (error) {
		if (s !== session)
			return;
		showError(`The token was not renewed: ${error.message}`,
			error.cause);
		clearTimeout(s.timer);
		s.timer = setTimeout(renew, RENEW_AGAIN_S * 1000, s);
	}
}

/* ---- what the agent sends ----------------------------------------------- */

const STATES = { idle: "The agent is idle", silent: "The agent is silent",
	listening: "The agent is listening", thinking: "The agent is thinking",
	speaking: "The agent is speaking" };
const HOW = ["unfinished", "", "interrupted"];	/* by turn_status */

/* The default agent sends its messages over RTM, as JSON. */
function heard(event)
{
	const raw = event.message;
	let said;

	try {
		said = JSON.parse(typeof raw === "string" ? raw :
			new TextDecoder().decode(raw));
	} catch {
		return;	/* somebody else's */
	}
	switch (said.object) {
	case "user.transcription":
		showTurn("user", said.turn_id, said.text, 0,
			said.final ? "" : "unfinished");
		break;
	case "assistant.transcription":
		showTurn("agent", said.turn_id, said.text,
			said.turn_seq_id || 0, HOW[said.turn_status] || "");
		break;
	case "message.error":
		showError(`The agent has trouble (${said.module}): ` +
			said.message, `Code ${said.code}`);
		break;
	}
}

/* The agent's state is its presence in the RTM channel. */
function present(s, event)
{
	const states = (event.snapshot || [])
		.filter((user) => user.userId === s.config.agent_uid)
		.map((user) => user.states.state);

	if (event.publisher === s.config.agent_uid && event.stateChanged)
		states.push(event.stateChanged.state);
	for (const state of states)
		if (state in STATES && !s.stopping)
			showState(state, STATES[state]);
}

/* ---- Agora's SDKs ------------------------------------------------------- */

const hasRtc = window.AgoraRTC !== undefined;
const hasRtm = window.AgoraRTM !== undefined;

/* They try for ever where there is no way to Agora; we do not. */
function inTime(doing, seconds)
{
	return Promise.race([doing, new Promise((_, reject) =>
		setTimeout(() => reject(new Error(
			`Agora did not answer within ${seconds} s.`)),
		seconds * 1000))]);
}

/* By the code of AgoraRTC, or the name that the browser gives. */
const MICROPHONE = {
	PERMISSION_DENIED: "This page may not use the microphone. Allow it beside " +
		"the address of the page, and in the settings of the system; " +
		"then start again.",
	DEVICE_NOT_FOUND: "There is no microphone. Connect one, then start " +
		"again.",
	NOT_READABLE: "The microphone is there, but cannot be used: another " +
		"program may be using it.",
	NOT_SUPPORTED: "Browsers give a page the microphone over HTTPS or from " +
		"localhost only."
};
MICROPHONE.NotAllowedError = MICROPHONE.PERMISSION_DENIED;
MICROPHONE.NotFoundError = MICROPHONE.DEVICE_NOT_FOUND;
MICROPHONE.NotReadableError = MICROPHONE.NOT_READABLE;
MICROPHONE.WEB_SECURITY_RESTRICT = MICROPHONE.NOT_SUPPORTED;

async function openMicrophone(s)
{
	if (!window.isSecureContext)
		throw new CallError(MICROPHONE.NOT_SUPPORTED);
	try {
		s.microphone = await AgoraRTC.createMicrophoneAudioTrack();
	} catch (error) {
		throw new CallError(MICROPHONE[error.code] ||
			MICROPHONE[error.name] ||
			"The microphone cannot be used.", error.message);
	}
	if (s.stopping)
		s.microphone.close();
}

async function enterRtm(s)
{
	s.rtm = new AgoraRTM.RTM(s.config.app_id, s.config.uid);
	s.rtm.addEventListener("message", heard);
	s.rtm.addEventListener("presence", (event) => present(s, event));
	await s.rtm.login({ token: s.config.token });
	await s.rtm.subscribe(s.config.channel_name,
		{ withMessage: true, withPresence: true });
}

function agentLeft(s, user)
{
	if (String(user.uid) !== s.config.agent_uid || s.stopping)
		return;
	showError("The agent has left the channel.");
	stop(s);
}

/* The uid is text, as the default agent's is (enable_string_uid). */
async function enterRtc(s)
{
	s.rtc = AgoraRTC.createClient({ mode: "rtc", codec: "vp8" });
	s.rtc.on("user-published", async (user, kind) => {
		await s.rtc.subscribe(user, kind);
		if (kind === "audio")
			user.audioTrack.play();
	});
	s.rtc.on("user-left", (user) => agentLeft(s, user));
	s.rtc.on("token-privilege-will-expire", () => renew(s));
	await s.rtc.join(s.config.app_id, s.config.channel_name,
		s.config.token, s.config.uid);
	await s.rtc.publish([s.microphone]);
}

/* All of it before the agent, or its first words are missed. */
async function enterAgora(s)
{
	const rtm = hasRtm ? enterRtm(s) : Promise.resolve();

	await Promise.all([
		inTime(rtm, ENTER_S).catch((error) => showError(
			"There is no transcript: RTM failed.", error.message)),
		inTime(enterRtc(s), ENTER_S).catch((error) => {
			throw new CallError("The channel cannot be entered.",
				error.message);
		})]);
}

/* What cannot be left has gone already. */
async function leaveAgora(s)
{
	if (s.microphone)
		s.microphone.close();
	if (s.rtc)
		await inTime(s.rtc.leave(), LEAVE_S).catch(() => {});
	if (s.rtm)
		await inTime(s.rtm.logout(), LEAVE_S).catch(() => {});
}

/* ---- from start to stop ------------------------------------------------- */

/* Waits for ${doing}, but no longer than until Stop is pressed. */
function step(s, text, doing)
{
	showState("busy", text);
	return Promise.race([doing, s.stopped]);
}

async function startAgent(s)
{
	const data = await callWithToken(s, "v2/startAgent",
		startMembers(s.config));

	s.agent = data.agent_id;
	showFact("agent", s.agent);
}

function newSession()
{
	const s = { beginning: true, stopping: false };

	s.stopped = new Promise((_, reject) => {
		s.stop = () => reject(new Error("stopped"));
	});
	s.stopped.catch(() => {});	/* who waits for it hears of it */
	return s;
}

async function begin()
{
	const s = session = newSession();

	ids.error.hidden = true;
	for (const id of ["channel", "uid", "agent-uid", "agent", "expires"])
		showFact(id);
	ids.calls.replaceChildren();
	forgetTurns();
	showButtons();
	try {
		s.config = await step(s, "Asking for a channel …",
			call("GET", "get_config", null));
		showConfig(s.config);
		renewLater(s);
		if (hasRtc) {
			await step(s, "Waiting for the microphone …",
				openMicrophone(s));
			showButtons();
			await step(s, "Entering the channel …", enterAgora(s));
		}
		showState("busy", "Starting the agent …");
		await startAgent(s);
		s.beginning = false;
		if (s.stopping)
			await end(s);
		else if (ids.state.dataset.state === "busy")
			showState("running", "The agent is running");
	} catch (error) {
		s.beginning = false;
		if (!s.stopping)
			showError(error.message, error.cause);
		await end(s, !s.stopping);
	}
}

/* A start on its way is waited for: only then is known what to stop. */
function stop(s)
{
	s.stopping = true;
	s.stop();
	showState("busy", "Stopping …");
	showButtons();
	if (!s.beginning)
		end(s);
}

/* Stops what there is to stop. An agent that was not stopped can be again. */
async function end(s, failed)
{
	s.stopping = true;
	if (s.agent) {
		try {
			await callWithToken(s, "v2/stopAgent", stopMembers(s));
		} catch (error) {
			if (error.status !== 404) {	/* it has ended by itself */
				s.stopping = false;
				showState("failed",
					"The agent may still be running");
				showError(error.message, error.cause);
				showButtons();
				return;
			}
		}
		s.agent = null;
	}
	clearTimeout(s.timer);
	await leaveAgora(s);
	if (session === s)
		session = null;
	showState(failed ? "failed" : "idle",
		failed ? "Not started" : "Stopped");
	showButtons();
}

/*
 * The page goes: no answer can be waited for. sendBeacon is made for that but
 * sends no headers; where keys or tokens are wanted it takes a fetch that may
 * outlive the page. (A start under way is broken off with the page, and undone
 * by the backend.)
 */
function leave()
{
	const s = session;
	let body;

	if (s === null || !s.agent)
		return;
	body = JSON.stringify(stopMembers(s));
	if (!s.tokenWanted && ids.key.value === "")
		navigator.sendBeacon(new URL("v2/stopAgent", api),
			new Blob([body], { type: "text/plain" }));
	else
		fetch(new URL("v2/stopAgent", api), { method: "POST", body,
			keepalive: true, headers: {
				...credentials(s.tokenWanted && s.config.token),
				"Content-Type": "application/json" } });
	s.agent = null;
}

async function mute()
{
	const muted = ids.mute.getAttribute("aria-pressed") !== "true";

	await session.microphone.setMuted(muted);
	ids.mute.setAttribute("aria-pressed", String(muted));
	ids.mute.textContent = muted ? "Unmute" : "Mute";
}

if (!hasRtc || !hasRtm) {
	ids.missing.hidden = false;
	ids.missing.textContent = hasRtc ?
		"Agora's RTM SDK is not installed here (vendor/agora-rtm.js): " +
		"there is no transcript. vendor/README.md says where to get it." :
		"Agora's Web SDK is not installed here " +
		"(vendor/AgoraRTC_N.js): this page starts and stops agents, " +
		"but you cannot talk to them. vendor/README.md says where to " +
		"get it.";
}
if (hasRtc)
	AgoraRTC.onAutoplayFailed = () => { ids.sound.hidden = false; };

ids.start.addEventListener("click", begin);
ids.stop.addEventListener("click", () => stop(session));
ids.mute.addEventListener("click", mute);
ids.sound.addEventListener("click", () => { ids.sound.hidden = true; });
window.addEventListener("pagehide", leave);
/* Back from the browser's memory of pages, the agent is gone. */
window.addEventListener("pageshow", (event) => {
	if (event.persisted)
		location.reload();
});

})();
