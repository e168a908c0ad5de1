"""What the C and C++ libraries' functions do, as far as running one function alone has to know.

Knowledge only, no code.
"""

from __future__ import annotations

import re

__all__ = ["ALLOCATORS", "KNOWN_ARITIES", "NO_RETURN", "REAL"]

REAL = {
    name: f"llm_{real}"
    for name, real in (
        *((one, one) for one in ("memcpy", "memmove", "memset", "memcmp", "strlen", "strcmp")),
        *((one, one) for one in ("strncmp", "strchr", "strrchr", "memchr", "strcpy")),
        ("bcmp", "memcmp"),
        ("index", "strchr"),
        ("rindex", "strrchr"),
    )
}
ALLOCATORS = {"malloc": 2, "_Znwm": 2, "_Znam": 2, "calloc": 3, "realloc": 4}
NO_RETURN = re.compile(
    r"^(?:_?_?exit|_Exit|abort|quick_exit|__assert_fail|__stack_chk_fail|_?longjmp|siglongjmp|"
    r"__\w*chk_fail|__fortify_fail|_ZSt9terminatev|__cxa_(?:re)?throw|_Unwind_Resume|"
    r"__cxa_bad_cast|_ZSt\d+__throw_\w+|v?errx?|__builtin_unreachable|pthread_exit|_ZSt\w*bad_\w+)$"
)

_ARITIES = (
    (
        0,
        "abort getpid rand __errno_location pthread_self __ctype_b_loc __ctype_tolower_loc",
    ),
    (
        1,
        "puts putchar free malloc exit close fclose fflush strlen strdup atoi atol getenv "
        "_Znwm _Znam _ZdlPv _ZdaPv perror time isatty fileno feof ferror getc fgetc getchar "
        "rewind strerror toupper tolower isspace isalpha isdigit isalnum unlink opendir "
        "closedir readdir pthread_mutex_lock pthread_mutex_unlock abs labs dlclose "
        "__cxa_begin_catch",
    ),
    (
        2,
        "fputs fputc putc strcmp strcpy strcat strchr strrchr strstr calloc realloc fopen "
        "signal stat fstat lstat rename strcasecmp _ZdlPvm _ZdaPvm gettimeofday mkdir access "
        "strpbrk strspn strcspn strcoll index rindex kill dlsym strtok ungetc",
    ),
    (
        3,
        "memcpy memmove memset memcmp memchr strncmp strncpy strncat read write fgets lseek "
        "strncasecmp strtol strtoul strtoll strtoull bcmp mempcpy fseek reallocarray "
        "__strcpy_chk",
    ),
    (
        4,
        "fread fwrite qsort __memcpy_chk __memset_chk __memmove_chk __assert_fail setvbuf",
    ),
    (
        5,
        "bsearch",
    ),
)
KNOWN_ARITIES = {name: arity for arity, names in _ARITIES for name in names.split()}
"""How many integer arguments well-known functions take; none takes numbers of another kind."""
