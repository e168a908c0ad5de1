/** Small programs to begin with; written for this page. */

import type { Verb } from "./types";

export interface Example {
  title: string;
  language: string;
  source: string;
  verb?: Verb;
}

export const EXAMPLES: Example[] = [
  {
    title: "a state machine (C)",
    language: "c",
    source: `#include <stddef.h>
#include <string.h>

enum kind { NAME, NUMBER, STRING, SYMBOL, END, BAD };
struct token { enum kind kind; const char *start; size_t length; };

static int is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static int is_digit(char c) { return c >= '0' && c <= '9'; }

static const char *skip(const char *at) {
  for (;;) {
    while (*at == ' ' || *at == '\\t' || *at == '\\n') at++;
    if (at[0] != '/' || at[1] != '/') return at;
    while (*at && *at != '\\n') at++;
  }
}

struct token next_token(const char *at) {
  struct token found = {END, skip(at), 0};
  at = found.start;
  if (*at == 0) return found;
  if (is_letter(*at)) {
    found.kind = NAME;
    while (is_letter(*at) || is_digit(*at)) at++;
  } else if (is_digit(*at)) {
    found.kind = NUMBER;
    while (is_digit(*at)) at++;
    if (*at == '.') for (at++; is_digit(*at); at++) {}
  } else if (*at == '"') {
    found.kind = STRING;
    for (at++; *at && *at != '"'; at++) if (*at == '\\\\' && at[1]) at++;
    if (*at) at++; else found.kind = BAD;
  } else {
    found.kind = strchr("+-*/()[]{};,=<>!&|", *at) ? SYMBOL : BAD;
    at++;
  }
  found.length = (size_t)(at - found.start);
  return found;
}

int count_names(const char *text, const char *name) {
  int count = 0;
  size_t length = strlen(name);
  for (struct token one = next_token(text); one.kind != END; one = next_token(one.start + one.length))
    if (one.kind == NAME && one.length == length && memcmp(one.start, name, length) == 0) count++;
  return count;
}
`,
  },
  {
    title: "a ring buffer (C++)",
    language: "c++",
    source: `#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

template <typename T, std::size_t N>
class Ring {
 public:
  bool push(const T &value) {
    if (count_ == N) return false;
    items_[(first_ + count_++) % N] = value;
    return true;
  }
  std::optional<T> pop() {
    if (count_ == 0) return std::nullopt;
    T value = items_[first_];
    first_ = (first_ + 1) % N;
    --count_;
    return value;
  }

 private:
  std::array<T, N> items_{};
  std::size_t first_ = 0, count_ = 0;
};

struct Sample { std::uint32_t time; std::int16_t value; };
static Ring<Sample, 24> samples;

bool record(std::uint32_t time, std::int16_t value) { return samples.push({time, value}); }

int drain(std::int32_t *sum, std::uint32_t until) {
  int taken = 0;
  while (auto one = samples.pop()) {
    if (one->time > until) break;
    *sum += one->value;
    ++taken;
  }
  return taken;
}
`,
  },
  {
    title: "LLVM-IR",
    language: "llvm-ir",
    source: `define i32 @clamp(i32 %value, i32 %low, i32 %high) minsize optsize {
  %slot = alloca i32
  store i32 %value, ptr %slot
  %below = icmp slt i32 %value, %low
  br i1 %below, label %small, label %next

small:
  store i32 %low, ptr %slot
  br label %end

next:
  %above = icmp sgt i32 %value, %high
  br i1 %above, label %large, label %end

large:
  store i32 %high, ptr %slot
  br label %end

end:
  %result = load i32, ptr %slot
  ret i32 %result
}
`,
  },
  {
    title: "assembly to lift (x86-64)",
    language: "assembly",
    verb: "disassemble",
    source: `	.text
	.globl	gcd
	.type	gcd,@function
gcd:
	movl	%edi, %eax
.Lnext:
	testl	%esi, %esi
	je	.Ldone
	xorl	%edx, %edx
	divl	%esi
	movl	%esi, %eax
	movl	%edx, %esi
	jmp	.Lnext
.Ldone:
	retq
	.size	gcd, .-gcd

	.globl	count_bits
	.type	count_bits,@function
count_bits:
	xorl	%eax, %eax
.Lbit:
	testq	%rdi, %rdi
	je	.Lend
	leaq	-1(%rdi), %rcx
	andq	%rcx, %rdi
	incl	%eax
	jmp	.Lbit
.Lend:
	retq
	.size	count_bits, .-count_bits
`,
  },
  {
    title: "a function to predict (IR)",
    language: "llvm-ir",
    verb: "emulate",
    source: `define i32 @sum(i32 %x, i32 %y) minsize optsize {
  %p = alloca i32, align 4
  %q = alloca i32, align 4
  store i32 %x, ptr %p, align 4
  store i32 %y, ptr %q, align 4
  %a = load i32, ptr %p, align 4
  %b = load i32, ptr %q, align 4
  %c = add nsw i32 %a, %b
  ret i32 %c
}
`,
  },
];

export const RECIPES = `default<Oz>
default<Os>
default<Oz> +frame-pointer=non-leaf
sroa,instcombine,simplifycfg,inline,gvn,simplifycfg +frame-pointer=non-leaf`;
