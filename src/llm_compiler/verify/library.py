"""What the C and C++ libraries' functions do, as far as running one function alone has to know.

Knowledge only, no code.
"""

from __future__ import annotations

import re

__all__ = [
    "ALLOCATORS",
    "DEALLOCATORS",
    "KNOWN_ARITIES",
    "KNOWN_NUMBERS",
    "KNOWN_RESULTS",
    "NO_RETURN",
    "REAL",
    "SAME_RESULT",
]

REAL = {
    name: f"llm_{real}"
    for name, real in (
        *((item, item) for item in ("memcpy", "memmove", "memset", "memcmp", "strlen", "strcmp")),
        *((item, item) for item in ("strncmp", "strchr", "strrchr", "memchr", "strcpy")),
        ("bcmp", "memcmp"),
        ("index", "strchr"),
        ("rindex", "strrchr"),
    )
}
ALLOCATORS = {
    "malloc": 2,
    "__cxa_allocate_exception": 6,
    "_Znwm": 6,
    "_Znam": 6,
    "calloc": 3,
    "realloc": 4,
}
"""What stubs do for real, as execute_driver.c numbers it; those of C may fail."""
DEALLOCATORS = frozenset({"free", "_ZdlPv", "_ZdaPv", "_ZdlPvm", "_ZdaPvm"})
"""That do nothing where they are passed NULL, so that LLVM leaves out such a call."""
SAME_RESULT = frozenset({"__cxa_begin_catch", "__cxa_get_exception_ptr"})
"""That return what they are passed, as far as stubs go: where an exception's object is."""
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

_OF_ONE_NUMBER = (
    "sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh exp exp2 expm1 log log2 log10 "
    "log1p sqrt cbrt floor ceil round trunc rint nearbyint fabs lround llround lrint llrint erf "
    "erfc tgamma lgamma logb"
)
_OF_TWO_NUMBERS = "atan2 pow fmod hypot fmin fmax copysign remainder fdim nextafter"
KNOWN_NUMBERS = {
    name + suffix: count
    for count, names in ((1, _OF_ONE_NUMBER), (2, _OF_TWO_NUMBERS))
    for name in names.split()
    for suffix in ("", "f")
}
"""How many numbers the C library's functions of numbers take; none takes an integer."""

_RESULTS = (
    (
        "void",
        "abort free exit _exit rewind perror qsort _ZdlPv _ZdaPv _ZdlPvm _ZdaPvm srand bzero "
        "closelog syslog freeaddrinfo va_end longjmp siglongjmp __assert_fail setbuf clearerr "
        "regfree endpwent endgrent tzset pthread_exit",
    ),
    (
        "i32",
        "puts putchar printf fprintf sprintf snprintf vprintf vfprintf vsprintf vsnprintf "
        "fclose fflush close open atoi isatty fileno feof ferror getc fgetc getchar toupper "
        "tolower isspace isalpha isdigit isalnum unlink closedir pthread_mutex_lock "
        "pthread_mutex_unlock fputs fputc putc strcmp strcasecmp strncmp strncasecmp memcmp bcmp "
        "stat fstat lstat rename gettimeofday mkdir access strcoll kill ungetc fseek setvbuf "
        "sscanf fscanf scanf system atexit rand abs socket bind listen accept connect fork "
        "dup dup2 pipe poll select ioctl fcntl setjmp _setjmp raise sigaction",
    ),
    (
        "i64",
        "strlen strspn strcspn fread fwrite read write lseek ftell time atol strtol strtoul "
        "strtoll strtoull labs strftime send recv clock getline mktime readlink wcslen strnlen "
        "pread pwrite sysconf",
    ),
    (
        "ptr",
        "malloc calloc realloc strdup strndup getenv _Znwm _Znam strerror opendir readdir strcpy "
        "strcat strchr strrchr strstr strncpy strncat fopen fdopen freopen strpbrk strtok memcpy "
        "memmove memset memchr mempcpy fgets bsearch reallocarray index rindex dlsym dlopen "
        "__errno_location stpcpy localtime gmtime ctime setlocale __cxa_begin_catch "
        "__ctype_b_loc __ctype_tolower_loc __ctype_toupper_loc __memcpy_chk __memset_chk "
        "__memmove_chk __strcpy_chk",
    ),
    (
        "double",
        "sin cos tan asin acos atan atan2 sinh cosh tanh exp exp2 log log2 log10 pow sqrt cbrt "
        "floor ceil round trunc fabs fmod hypot atof strtod ldexp fmin fmax",
    ),
    ("float", "sinf cosf tanf expf logf powf sqrtf floorf ceilf roundf fabsf fmodf atan2f strtof"),
)
KNOWN_RESULTS = {name: result for result, names in _RESULTS for name in names.split()}
"""What well-known functions return, as IR's types."""
