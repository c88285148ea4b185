/* Stands in for Agora's RTM SDK, as AgoraRTC_N.js here does for the other. */
"use strict";

window.AgoraRTM = { RTM: class {
	constructor(appId, userId)
	{
		this.listeners = {};
		agoraDouble.rtms.push(this);
		agoraDouble.calls.push(["rtm", appId, userId]);
	}

	addEventListener(name, listener)
	{
		this.listeners[name] = listener;
	}

	async login({ token })
	{
		agoraDouble.calls.push(["login", token]);
		await agoraDouble.waits;
	}

	async subscribe(channel)
	{
		agoraDouble.calls.push(["subscribed", channel]);
	}

	async renewToken(token)
	{
		agoraDouble.calls.push(["rtm renew", token]);
	}

	async logout()
	{
		agoraDouble.calls.push(["logout"]);
	}
} };
