-- A script of our own that exercises Lua's core and libraries; prints results and ends with
-- "all checks passed". Deterministic on every machine.
local function section(name) print("== " .. name) end

section "arithmetic"
for _, pair in ipairs { {7, 3}, {-7, 3}, {7, -3}, {-7, -3}, {7.5, 2}, {-7.5, 2} } do
  local a, b = pair[1], pair[2]
  print(a + b, a - b, a * b, a / b, a // b, a % b)
end
print(3 & 5, 3 | 5, 3 ~ 5, ~0, 1 << 62, 1 << 63, 1 << 64, -1 >> 1)
print(math.maxinteger + 1 == math.mininteger, math.maxinteger * 2.0, 2 ^ 53)
print(math.tointeger(3.0), math.tointeger(3.5), 10 // 0.0, -10 // 0.0, 0/0 ~= 0/0)
print(math.floor(-3.5), math.ceil(-3.5), math.fmod(-6, 4), math.ult(1, -1), math.abs(math.mininteger))
print(string.format("%.14g %5d|%-5d|%05d %x %X %o %e %g %a", 1/3, 42, 42, 42, 255, 255, 8, 12345.678, 1e20, 1.0))
assert(not pcall(function() return 1 // 0 end))
assert(not pcall(function() return 1 < "2" end))
assert("10" + 5 == 15 and "0x10" + 0 == 16 and 10 .. 20 == "1020")

section "strings"
local text = "The quick brown fox jumps over the lazy dog"
print(text:upper(), text:lower(), text:len(), text:reverse())
print(text:find("quick"), text:find("(%a+) (%a+)", 5), text:match("(%w+)$"), text:find("o", 1, true))
print((text:gsub("%w+", function(w) return #w > 4 and w:upper() or nil end)))
print((text:gsub("(%w+) (%w+)", "%2 %1")))
print(("x"):rep(10, "-"), ("abc"):byte(1, -1), string.char(72, 105))
for k, v in ("a=1, b=22, c=333"):gmatch("(%w+)=(%w+)") do io.write(k, ":", v, " ") end print()
print(("%bxy"):len(), ("f(a(b)c)d"):match("%b()"), ("THE (quick) fox"):find("%((%a+)%)"))
print(("hello world"):gsub("o", "0", 1), ("  trim  "):match("^%s*(.-)%s*$") .. "|")
print(string.format("%q", 'a "quoted"\n\0line\\'), ("%s %10.4s|"):format("abc", "abcdefgh"))
print(string.pack("<i4 >i4 z s2", 1, 2, "zero", "two"):byte(1, -1))
print(string.unpack("<i4 >i4 z s2", string.pack("<i4 >i4 z s2", 1, -2, "zero", "two")))
print(utf8.char(228, 8364, 128512), utf8.len("äöü€"), #utf8.char(128512))
for p, c in utf8.codes("aé€") do io.write(p, "=", c, " ") end print()

section "tables"
local t = {}
for i = 1, 1000 do t[i] = (i * 7919) % 1009 end
table.sort(t)
for i = 2, #t do assert(t[i - 1] <= t[i]) end
table.sort(t, function(a, b) return a > b end)
print(t[1], t[500], t[1000], #t)
print(table.concat({1, 2, 3, "x", 4.5}, ", "), table.unpack({1, 2, 3}, 2))
local moved = table.move({1, 2, 3, 4, 5}, 2, 4, 1) print(table.concat(moved, " "))
table.insert(t, 1, -1) table.insert(t, -2) print(t[1], t[#t], table.remove(t), table.remove(t, 1))
local packed = table.pack(nil, 2, nil) print(packed.n, packed[2], select("#", nil, nil), select(-1, 1, 2, 3))
local keys = {} for k in pairs({a = 1, b = 2, c = 3, [1] = 4, [2.5] = 5}) do keys[#keys + 1] = tostring(k) end
table.sort(keys) print(table.concat(keys, " "))

section "closures and varargs"
local function counter(start) local n = start return function(step) n = n + (step or 1) return n end end
local c1, c2 = counter(0), counter(100)
print(c1(), c1(5), c2(), c1(), c2(-50))
local function sum(...) local s = 0 for _, v in ipairs {...} do s = s + v end return s, select("#", ...) end
print(sum(1, 2, 3), sum(), (sum(4, 5)))
local fns = {} for i = 1, 5 do fns[i] = function() i = i + 1 return i end end
print(fns[1](), fns[1](), fns[5](), fns[3]())
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
print(fib(24))
local function loop(n, acc) if n == 0 then return acc end return loop(n - 1, acc + n) end
print(loop(1000000, 0))

section "metatables"
local Vector = {} Vector.__index = Vector
local function V(x, y) return setmetatable({x = x, y = y}, Vector) end
Vector.__add = function(a, b) return V(a.x + b.x, a.y + b.y) end
Vector.__mul = function(a, b) if type(a) == "number" then return V(a * b.x, a * b.y) end return a.x * b.x + a.y * b.y end
Vector.__eq = function(a, b) return a.x == b.x and a.y == b.y end
Vector.__lt = function(a, b) return a.x < b.x end
Vector.__le = function(a, b) return a.x <= b.x end
Vector.__unm = function(a) return V(-a.x, -a.y) end
Vector.__tostring = function(a) return "(" .. a.x .. "," .. a.y .. ")" end
Vector.__len = function() return 2 end
Vector.__call = function(self, k) return self[k] end
Vector.__concat = function(a, b) return tostring(a) .. tostring(b) end
Vector.__close = function(a) print("close", a) end
print(tostring(V(1, 2) + V(3, 4)), 2 * V(1, 2) == V(2, 4), V(1, 2) * V(3, 4), #V(1, 1), V(5, 6)("y"))
print(V(1, 2) < V(2, 1), V(1, 2) <= V(1, 0), tostring(-V(1, 2)), V(1, 2) .. V(3, 4))
do local v <close> = V(9, 9) local k <const> = 5 print("in scope", k) end
local log = {} local proxy = setmetatable({}, {__index = function(_, k) log[#log + 1] = k return k .. "!" end, __newindex = function(t, k, v) rawset(t, k, v * 2) end})
proxy.a = 21 print(proxy.a, proxy.missing, #log, rawget(proxy, "missing"), rawlen({1, 2}), rawequal(proxy, proxy))

section "coroutines"
local function gen(n) return coroutine.wrap(function() for i = 1, n do coroutine.yield(i, i * i) end return "done" end) end
local g = gen(3) print(g()) print(g()) print(g()) print(g())
local co = coroutine.create(function(a, b) local c = coroutine.yield(a + b) local d, e = coroutine.yield(c * 2) error({code = d + e}) end)
print(coroutine.resume(co, 1, 2)) print(coroutine.resume(co, 10)) local ok, err = coroutine.resume(co, 3, 4)
print(ok, err.code, coroutine.status(co), coroutine.isyieldable(), coroutine.close(coroutine.create(print)))
local function permgen(a, n) n = n or #a if n <= 1 then coroutine.yield(a) else for i = 1, n do a[n], a[i] = a[i], a[n] permgen(a, n - 1) a[n], a[i] = a[i], a[n] end end end
local count = 0 for p in coroutine.wrap(function() permgen {1, 2, 3, 4, 5} end) do count = count + p[1] end print(count)

section "errors"
print(pcall(error, "message", 0)) print(pcall(error, {1}) == false) print(select(2, pcall(error)))
print(xpcall(function() local x = nil; return x.field end, function(m) return "handled: " .. m:gsub("^[^:]*:%d+: ", "") end))
print(select(2, pcall(string.rep, "x", -1)), pcall(string.rep)) print(select(2, load("x = = 1")))
print(load("return 1 + ...")(41), type(load(function() return nil end))) print(tostring(nil), tostring(true), tonumber("ff", 16), tonumber("zz", 36), tonumber("1e1"), tonumber("abc"))
local depth = 0 local function deep() depth = depth + 1 return 1 + deep() end print(pcall(deep) == false, depth > 1000)

section "goto, integer for, while, repeat"
for i = 1, 3 do for j = 1, 3 do if j == 2 then goto continue end io.write(i, ",", j, " ") ::continue:: end end print()
for i = 10, 1, -3 do io.write(i, " ") end for x = 1.0, 2.0, 0.25 do io.write(x, " ") end print()
local n = 27 local steps = 0 while n ~= 1 do n = n % 2 == 0 and n // 2 or 3 * n + 1 steps = steps + 1 end print(steps)
repeat local done = steps < 100 steps = steps - 7 until done print(steps)

section "garbage"
local weak = setmetatable({}, {__mode = "v"}) local finalized = 0
for i = 1, 2000 do weak[i] = setmetatable({i}, {__gc = function() finalized = finalized + 1 end}) end
collectgarbage() collectgarbage() print(#weak, finalized) collectgarbage("generational")
local s = {} for i = 1, 20000 do s[#s + 1] = "string number " .. i if i % 100 == 0 then s = {} end end
collectgarbage("incremental") collectgarbage("step") print(collectgarbage("count") > 0)

section "sieve, matrix, queens, json, string buffer"
local sieve = {} for i = 2, 20000 do sieve[i] = true end for i = 2, 141 do if sieve[i] then for j = i * i, 20000, i do sieve[j] = false end end end
local primes = 0 for i = 2, 20000 do if sieve[i] then primes = primes + 1 end end print(primes)
local function mul(a, b) local r = {} for i = 1, #a do r[i] = {} for j = 1, #b[1] do local v = 0 for k = 1, #b do v = v + a[i][k] * b[k][j] end r[i][j] = v end end return r end
local m = {} for i = 1, 20 do m[i] = {} for j = 1, 20 do m[i][j] = (i * j) % 7 end end m = mul(mul(m, m), m) print(m[1][1], m[10][13], m[20][20])
local function queens(n) local c, d1, d2, found = {}, {}, {}, 0 local function place(r) if r > n then found = found + 1 return end for i = 1, n do if not (c[i] or d1[r + i] or d2[r - i]) then c[i], d1[r + i], d2[r - i] = true, true, true place(r + 1) c[i], d1[r + i], d2[r - i] = nil, nil, nil end end end place(1) return found end
print(queens(7))
local function encode(v) if type(v) == "table" then local p = {} if #v > 0 then for _, x in ipairs(v) do p[#p + 1] = encode(x) end return "[" .. table.concat(p, ",") .. "]" end local ks = {} for k in pairs(v) do ks[#ks + 1] = k end table.sort(ks) for _, k in ipairs(ks) do p[#p + 1] = ("%q:%s"):format(k, encode(v[k])) end return "{" .. table.concat(p, ",") .. "}" end return type(v) == "string" and ("%q"):format(v) or tostring(v) end
print(encode {list = {1, 2.5, "three", {4}}, map = {x = true, y = false}, name = "json"})
local hash = 5381 for i = 1, 100000 do hash = (hash * 33 ~ (i & 255)) & 0xffffffff end print(hash)

section "os and io"
print(os.time {year = 2020, month = 1, day = 1, hour = 12, isdst = false} - os.time {year = 2019, month = 1, day = 1, hour = 12, isdst = false})
print(os.date("!%Y-%m-%d %H:%M:%S", 86400 * 365), type(os.clock()), os.getenv("NO_SUCH_VARIABLE_HERE"))
local name = os.tmpname() local f = assert(io.open(name, "w")) f:write("line 1\n", 2, "\nline 3") f:close()
for l in io.lines(name) do io.write("[", l, "]") end print() f = io.open(name) print(f:seek("end"), f:seek("set", 2), f:read("n"), f:read("l"), f:read("a")) f:close() os.remove(name)
print(io.open("/no/such/file") == nil, io.type(f), io.type(io.stdout), require("string") == string, package.loaded.math == math)
print(debug.getinfo(1, "S").short_src ~= nil, debug.traceback("x", 1):match("^x") , #arg)
print("all checks passed")
