-- wrk's side of the closed loop: every request is another machine's. BODY holds the request with "#" for each digit of the machine's number.
local template, admitted = os.getenv("REQUEST"), os.getenv("ADMITTED")
local threads = {}

function setup(thread)
	table.insert(threads, thread)
end

function init()
	asked, refused, refusal = 0, 0, ""
	pieces, places = {}, {}
	local from = 1
	for start, digits, stop in template:gmatch("()(#+)()") do
		table.insert(pieces, template:sub(from, start - 1))
		table.insert(pieces, "")
		places[#pieces] = #digits
		from = stop
	end
	table.insert(pieces, template:sub(from))
end

function request()
	asked = asked + 1
	local number = string.format("%016x", asked)
	for at, digits in pairs(places) do pieces[at] = number:sub(-digits) end
	return table.concat(pieces)
end

function response(status, _, body)
	if status == 200 and body:find(admitted, 1, true) then return end
	refused = refused + 1
	refusal = status .. " " .. body:sub(1, 300)
end

function done(summary, latency)
	local errors = summary.errors
	local refused = threads[1]:get("refused")
	io.write(string.format('\nRESULT {"requests":%d,"micros":%d,"refused":%d,"broken":%d,"p50":%g,"p90":%g,"p99":%g,"max":%g}\n',
		summary.requests, summary.duration, refused, errors.connect + errors.read + errors.write + errors.timeout,
		latency:percentile(50) / 1000, latency:percentile(90) / 1000, latency:percentile(99) / 1000, latency.max / 1000))
	if refused > 0 then io.write("REFUSAL ", threads[1]:get("refusal"), "\n") end
end
