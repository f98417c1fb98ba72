-- nginx.lua - a lua_shared_dict of nginx, read inside nginx itself, obeying the lines of bench/common/worker.c (of which:
-- can, load, use, get, each, memory). It runs in init_worker of a single process in the foreground (bench/peers/nginx.conf),
-- so its standard input and output are the driver's. The keys of a batch are made before the clock starts.
local ffi = require "ffi"
local dict = ngx.shared.bench

local QUANTILES = {0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100}
local RECORD, KEY = 32, 24

ffi.cdef [[
struct bench_time { long sec, nsec; };
int clock_gettime(int id, struct bench_time *at);
]]
local time = ffi.new("struct bench_time")
local function ns()
        ffi.C.clock_gettime(1, time)
        return tonumber(time.sec) * 1e9 + tonumber(time.nsec)
end

local files, sequence, bytes = {}, "", 0

local function fail(what)
        io.stderr:write("bench: nginx: ", what, "\n")
        os.exit(1)
end

local function batch(from, n)
        local count, keys = #sequence / RECORD, {}
        for i = 1, n do
                local at = (from + i - 1) % count * RECORD
                keys[i] = sequence:sub(at + 1, at + KEY)
        end
        return keys
end

local function load(set, first, n, size)
        local value = ("v"):rep(size)
        local name = set:sub(1, 9)
        local format = name .. ":%0" .. (KEY - 1 - #name) .. "d"
        local start = ns()
        for i = first, first + n - 1 do
                local stored, why = dict:safe_set(format:format(i), value)
                if not stored then fail("set: " .. why) end
        end
        return ns() - start
end

local function get(keys)
        local start = ns()
        for i = 1, #keys do
                local value = dict:get(keys[i])
                if not value or #value ~= bytes then fail(keys[i] .. ": not a value of that length") end
        end
        return ns() - start
end

local function each(keys)
        local own, took, out = {}, {}, {}
        for i = 1, #keys do
                local start = ns()
                own[i] = ns() - start
        end
        table.sort(own)
        for i = 1, #keys do
                local start = ns()
                local value = dict:get(keys[i])
                took[i] = ns() - start
                if not value or #value ~= bytes then fail(keys[i] .. ": not a value of that length") end
        end
        table.sort(took)
        for i, q in ipairs(QUANTILES) do
                local at = took[math.floor((#took - 1) * q / 100) + 1] - own[math.floor(#own / 2) + 1]
                out[i] = ("%.0f"):format(math.max(0, at))
        end
        return table.concat(out, " ")
end

local function use(path, size)
        if not files[path] then
                local file = assert(io.open(path, "rb"))
                files[path] = file:read("*a")
                file:close()
        end
        sequence, bytes = files[path], size
        return #sequence / RECORD
end

local commands = {
        can = function() return "memory" end,
        load = function(w) return load(w[2], tonumber(w[3]), tonumber(w[4]), tonumber(w[5])) end,
        use = function(w) return use(w[2], tonumber(w[3])) end,
        get = function(w) return get(batch(tonumber(w[2]), tonumber(w[3]))) end,
        each = function(w) return each(batch(tonumber(w[2]), tonumber(w[3]))) end,
        memory = function() return ("%.0f 0"):format(dict:capacity() - dict:free_space()) end,
}

for line in io.lines() do
        local words = {}
        for word in line:gmatch("%S+") do words[#words + 1] = word end
        local command = commands[words[1]]
        if not command then fail("what is " .. line) end
        local answer = command(words)
        io.write(type(answer) == "number" and ("%.0f"):format(answer) or answer, "\n")
        io.flush()
end
os.exit(0)
