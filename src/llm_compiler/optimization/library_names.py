"""Which functions every program can call, because the C or C++ library or the compiler has them.

An object that calls anything else must be linked with somebody's definition. Some code calls
functions that exist nowhere on purpose: the compiler is expected to see that the call is never
made (``link_error()``, ``BUILD_BUG_ON``). Data and one pure function.
"""

from __future__ import annotations

import re

__all__ = ["is_library_name"]

_TEXT = """
    abort abs acos acosf acosl aligned_alloc asin asinf asinl atan atan2 atan2f atan2l atanf atanl
    atexit atof atoi atol atoll bcmp bcopy bsearch bzero calloc cbrt cbrtf ceil ceilf ceill close
    copysign copysignf copysignl cos cosf cosh cosl div exit exp exp10 exp2 exp2f exp2l expf expl
    expm1 fabs fabsf fabsl fclose fdim feof ferror fflush fgetc fgets fileno floor floorf floorl
    fma fmaf fmal fmax fmaxf fmaxl fmin fminf fminl fmod fmodf fmodl fopen fprintf fputc fputs
    fputs_unlocked fputc_unlocked fread free frexp frexpf fscanf fseek ftell fwrite fwrite_unlocked
    getc getchar getenv hypot hypotf index isalnum isalpha isascii iscntrl isdigit isgraph islower
    isprint ispunct isspace isupper isxdigit labs ldexp ldexpf ldexpl llabs llrint llround log log10
    log10f log10l log1p log2 log2f log2l logf logl lrint lrintf lround longjmp malloc memccpy memchr
    memcmp memcpy memmove mempcpy memrchr memset modf modff nearbyint nearbyintf nearbyintl open pow
    powf powl printf putc putchar puts qsort raise rand read realloc rindex rint rintf rintl round
    roundeven roundevenf roundf roundl scanf setvbuf signal sin sincos sincosf sincospi sinf sinh
    sinl snprintf sprintf sqrt sqrtf sqrtl srand sscanf stpcpy stpncpy strcasecmp strcat strchr
    strcmp strcoll strcpy strcspn strdup strerror strlcpy strlcat strlen strncasecmp strncat strncmp
    strncpy strndup strnlen strpbrk strrchr strspn strstr strtod strtof strtok strtol strtoll
    strtoul strtoull strxfrm system tan tanf tanh tanl time toascii tolower toupper trunc truncf
    truncl ungetc vfprintf vprintf vsnprintf vsprintf wcslen wmemset write
"""
_NAMES = frozenset(_TEXT.split())
_PATTERN = re.compile(
    r"_Z(?:N|NK)?S[tabsiod]|_Zn[wa]|_Zd[la]|_ZSt|_ZT[IVS](?:S|N|P|K)?S?t|_ZTIN10__cxxabi|_ZTVN10__cxxabi"
    r"|_Unwind_|__cxa_|__gxx_|__gcc_|__stack_chk_|__tls_get_addr|_GLOBAL_OFFSET_TABLE_|__errno_"
    r"|__ctype_|__\w+_chk$|__(?:aarch64_(?:cas|swp|ld)|atomic_|sync_)|__morestack"
    # libgcc and compiler-rt: arithmetic on wide integers and floating point.
    r"|__(?:fix|float|extend|trunc)\w*|__\w+(?:[sdtxhbo][if]|[sdt]c)\d?$|__(?:isinf|isnan|finite)"
)


def is_library_name(name: str) -> bool:
    """Whether a symbol is there in every program that is linked as usual.

    >>> is_library_name("memset"), is_library_name("__udivti3"), is_library_name("link_error")
    (True, True, False)
    """
    return name in _NAMES or _PATTERN.match(name) is not None
