/*
 * Stands in for Agora's RTC SDK: what the try-it page uses of it, without the
 * network that it would need. The microphone is the browser's own. agoraDouble
 * shows what was done, and does what an agent would; ?silent in the address
 * lets Agora never answer.
 */
"use strict";

window.agoraDouble = { calls: [], clients: [], rtms: [], played: 0,
	waits: location.search === "?silent" ? new Promise(() => {}) : null };

(function () {

function note(...call)
{
	agoraDouble.calls.push(call);
}

class Client {
	constructor()
	{
		this.listeners = {};
		agoraDouble.clients.push(this);
	}

	on(name, listener)
	{
		this.listeners[name] = listener;
	}

	async join(appId, channel, token, uid)
	{
		note("join", appId, channel, token, uid);
		await agoraDouble.waits;
	}

	async publish(tracks)
	{
		note("publish", tracks.map((track) => track.kind));
	}

	async subscribe(user, kind)
	{
		user.audioTrack = { play() { agoraDouble.played++; } };
		note("subscribe", user.uid, kind);
	}

	async renewToken(token)
	{
		note("renew", token);
	}

	async leave()
	{
		note("leave");
	}
}

/* As the SDK's errors do, ours have a code beside the browser's words. */
const CODES = { NotAllowedError: "PERMISSION_DENIED",
	NotFoundError: "DEVICE_NOT_FOUND" };

window.AgoraRTC = {
	createClient: () => new Client(),

	async createMicrophoneAudioTrack()
	{
		let stream;

		try {
			stream = await navigator.mediaDevices.getUserMedia(
				{ audio: true });
		} catch (error) {
			throw Object.assign(new Error(error.message),
				{ code: CODES[error.name] });
		}
		return {
			kind: stream.getAudioTracks()[0].kind,
			async setMuted(muted) { note("muted", muted); },
			close()
			{
				stream.getTracks().forEach((t) => t.stop());
				note("closed");
			}
		};
	}
};

})();
