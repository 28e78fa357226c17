# Reads tests of gcc's suite and writes, for those that are to be run on a target, a line each:
# path, language, flags and further sources, with tabs between.
#
# awk -v target=TRIPLE -f torture.awk FILE...
#
# It understands as much of DejaGnu's directives as these tests need. A test whose condition it
# does not know is left out: it is better not to run a test than to run it wrongly.

function matches(glob,    re) {
	re = glob
	gsub(/[.+()|^$]/, "\\\\&", re)
	gsub(/\*/, ".*", re)
	gsub(/\?/, ".", re)
	return target ~ ("^(" re ")$")
}

# What a word of a condition says: 1, 0, or -1 where we do not know. A condition that names a
# C++ standard also asks for it.
function word(w) {
	gsub(/"/, "", w)
	if (w ~ /^c\+\+[0-9][0-9ax]$/) {
		sub(/^c\+\+/, "", w)
		sub(/2a/, "20", w)
		if (w > 17 && w < 98 && w > std)
			std = w
		return 1
	}
	if (w ~ /^c\+\+[0-9][0-9]_(only|down)$/) {
		std = substr(w, 4, 2)
		return 1
	}
	if (w in known)
		return known[w]
	if (w ~ /-/)
		return matches(w)
	return -1
}

# The value of a condition: words side by side mean "or".
function condition(    value, next_value, operator, negate, token) {
	value = -2
	operator = "||"
	negate = 0
	while (at <= count) {
		token = tokens[at++]
		if (token == "}")
			break
		if (token == "&&" || token == "||") {
			operator = token
			continue
		}
		if (token == "!") {
			negate = !negate
			continue
		}
		next_value = token == "{" ? condition() : word(token)
		if (negate && next_value >= 0)
			next_value = !next_value
		negate = 0
		if (value == -2)
			value = next_value
		else if (operator == "&&")
			value = value == 0 || next_value == 0 ? 0 : value == 1 && next_value == 1 ? 1 : -1
		else
			value = value == 1 || next_value == 1 ? 1 : value == 0 && next_value == 0 ? 0 : -1
		operator = "||"
	}
	return value == -2 ? 1 : value
}

function evaluate(text) {
	gsub(/[{}!]/, " & ", text)
	sub(/^ +/, "", text)
	count = split(text, tokens, / +/)
	if (count && tokens[count] == "")
		count--
	at = 1
	return condition()
}

# The text in the quotes that a directive begins with, and in `rest` what comes after.
function quoted(text,    first, last) {
	rest = ""
	first = index(text, "\"")
	if (!first)
		return ""
	text = substr(text, first + 1)
	last = match(text, /(^|[^\\])"/)
	if (!last)
		return ""
	rest = substr(text, last + RLENGTH)
	text = substr(text, 1, last + RLENGTH - 2)
	gsub(/\\"/, "\"", text)
	return text
}

function options(text,    flags, value) {
	flags = quoted(text)
	if (match(rest, /\{ *target +.*\}/)) {
		value = rest
		sub(/^.*\{ *target +/, "", value)
		sub(/\}[^}]*$/, "", value)
		if (value ~ /\{ *xfail/ || evaluate(value) != 1)
			return ""
	}
	return " " flags
}

function finish(    folder, flags) {
	if (path == "" || !run || skip)
		return
	flags = given
	if (language == "c++" && (given more) !~ /-std=/)
		flags = " -std=gnu++" (std ? std : 17) flags
	print path "\t" language "\t" substr(base flags more, 2) "\t" sources
}

function start(    parts, n) {
	path = FILENAME
	language = path ~ /\.C$/ ? "c++" : "c"
	folder = path
	sub(/\/[^\/]*$/, "", folder)
	std = ""
	given = more = base = sources = ""
	skip = 0
	run = language == "c"
	if (language == "c") {
		base = " -w"
		if (folder ~ /\/ieee$/)
			base = base " -fno-inline"
		if (folder ~ /\/builtins$/) {
			base = base " -fno-tree-dse -fno-tree-loop-distribute-patterns -fno-tracer" \
				" -fno-ipa-ra -fno-inline-functions"
			sources = substr(path, 1, length(path) - 2) "-lib.c " folder "/lib/main.c"
		}
		# What a script beside the test adds whatever the target.
		script = substr(path, 1, length(path) - 1) "x"
		while ((getline value < script) > 0)
			if (value ~ /^(lappend|set) additional_flags/)
				base = base " " quoted(value)
		close(script)
	} else {
		base = " -w"
		if (folder ~ /\/coroutines/)
			std = 20
	}
}

BEGIN {
	# What every target of ours has.
	n = split("alloca alias_supported c99_runtime cxa_atexit default_packed double64 " \
		"double64plus fileio fpic freestanding_not gld hard_float indirect_calls " \
		"indirect_jumps init_priority int128 int32 int32plus label_values longlong64 lp64 " \
		"mmap native non_bionic nonlocal_goto pcc_bitfield_type_matters pie_enabled ptr32plus " \
		"pthread ptr_eq_long return_address run_expensive_tests signal size20plus size24plus " \
		"size32plus stdint_types sync_long_long_runtime thread_fence tls tls_runtime " \
		"trampolines ucn untyped_assembly unwrapped wchar weak float32_runtime " \
		"float64_runtime", names, / +/)
	for (i = 1; i <= n; i++)
		known[names[i]] = 1
	n = split("avr freestanding ia32 ilp32 arm32 arm_thumb1_ok newlib newlib_nano_io llp64 " \
		"x32 vxworks_kernel hpux mips64 arm_neon", names, / +/)
	for (i = 1; i <= n; i++)
		known[names[i]] = 0
	known["sse2_runtime"] = known["sse_runtime"] = known["cet"] = target ~ /^x86_64/
}

FNR == 1 {
	finish()
	start()
}

!/\{ *dg-/ { next }

{
	text = $0
	sub(/^.*\{ *dg-/, "dg-", text)
	sub(/ *\*\/.*$/, "", text)
	sub(/[^}]*$/, "", text)
	sub(/ *\}$/, "", text)
	directive = text
	sub(/[ \t].*$/, "", directive)
	sub(/^[^ \t]+[ \t]*/, "", text)
}

directive == "dg-do" {
	run = text ~ /^run/
	if (match(text, /\{ *target +/)) {
		value = substr(text, RSTART + RLENGTH)
		sub(/\} *$/, "", value)
		if (evaluate(value) != 1)
			skip = 1
	} else if (text ~ /xfail/) {
		value = text
		sub(/^.*xfail/, "", value)
		sub(/\} *$/, "", value)
		if (evaluate(value) != 0)
			skip = 1
	}
}
directive == "dg-options" { given = given options(text) }
directive == "dg-additional-options" { more = more options(text) }
directive == "dg-require-effective-target" {
	if (word(text ~ /[ \t{]/ ? substr(text, 1, match(text, /[ \t{]/) - 1) : text) != 1)
		skip = 1
}
directive ~ /^dg-require-(ifunc|profiling|stack-check|iconv|dll|linker-plugin)$/ { skip = 1 }
directive ~ /^dg-(shouldfail|set-target-env-var|set-compiler-env-var)$/ { skip = 1 }
directive ~ /^dg-(skip-if|xfail-if|xfail-run-if)$/ {
	quoted(text)
	value = rest
	# Only the condition; where it hangs on flags as well, they are none of ours.
	if (directive == "dg-skip-if" && match(value, /\} *[{"].*$/) && value !~ /"\*"|-O[02]"/)
		next
	sub(/\} *[{"].*$/, "}", value)
	if (evaluate(value) != 0)
		skip = 1
}
directive == "dg-additional-sources" {
	value = text
	gsub(/"/, "", value)
	n = split(value, names, / +/)
	for (i = 1; i <= n; i++)
		sources = sources (sources == "" ? "" : " ") folder "/" names[i]
}

END { finish() }
