-- For wrk: one line of JSON at the end.
function done(summary, latency, requests)
	local e = summary.errors
	print(string.format('{"requests":%d,"seconds":%.6f,"errors":%d,' ..
		'"p50_ms":%.3f,"p99_ms":%.3f}', summary.requests,
		summary.duration / 1e6,
		e.connect + e.read + e.write + e.status + e.timeout,
		latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
