-- For wrk: POSTs as startAgent takes them, each with a channel of its own.
--   wrk … -s start.lua URL -- WORD
local threads = 0
local count = 0

function setup(thread)
	threads = threads + 1
	thread:set("number", threads)
end

function init(args)
	word = args[1]
	wrk.headers["Content-Type"] = "application/json"
end

function request()
	count = count + 1
	return wrk.format("POST", nil, nil, string.format(
		'{"channelName":"bench-%s-%d-%d","rtcUid":"58888506",' ..
		'"userUid":"1234567"}', word, number, count))
end

-- report.lua, which is next to this file, has done().
local folder = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$")
dofile(folder .. "/report.lua")
