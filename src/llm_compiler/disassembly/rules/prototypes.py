"""What functions that everybody knows take and return.

Types are letters: ``p`` pointer, ``i`` 32-bit integer, ``l`` 64-bit integer, ``d`` double, ``f``
float, ``v`` nothing; ``.`` at the end: more may follow. Indented lines go on with the names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["NO_RETURN", "PROTOTYPES", "REPORTS_ERRORS", "Prototype"]


@dataclass(frozen=True, slots=True)
class Prototype:
    """One function's types, as letters."""

    result: str
    parameters: str
    is_variadic: bool = False


_TABLE: Final = """
p(l) malloc valloc alloca _Znwm _Znam __cxa_allocate_exception
p(ll) calloc aligned_alloc memalign
p(pl) realloc strndup getcwd
p(pll) reallocarray
v(p) free rewind perror clearerr _ZdlPv _ZdaPv va_end freeaddrinfo regfree globfree
  __cxa_free_exception __cxa_guard_release __cxa_guard_abort _Unwind_Resume
  __clang_call_terminate
v(pp) setbuf
v(pl) _ZdlPvm _ZdaPvm explicit_bzero bzero
p(ppl) memcpy memmove strncpy strncat mempcpy stpncpy bcopy __strcpy_chk __strcat_chk ngettext
p(pil) memset memchr memrchr rawmemchr
p(pip) memccpy fgets fgets_unlocked
i(ppl) memcmp strncmp strncasecmp bcmp
l(p) strlen ftell ftello times atol atoll time mktime timegm
l(pl) strnlen
i(pp) strcmp strcasecmp strcoll rename link symlink fputs stat lstat statvfs utime utimes
  timespec_get vprintf pthread_cond_wait pthread_once pthread_mutex_init pthread_cond_init
  dladdr gettimeofday nanosleep sigwait statfs execv execvp
p(pp) strcpy strcat strstr strcasestr fopen strpbrk strtok strsep stpcpy popen localtime_r
  gmtime_r asctime_r ctime_r dlsym realpath dgettext
l(pp) strspn strcspn
p(pi) strchr strrchr index rindex strchrnul dlopen
p(ppp) strtok_r freopen
p(plpl) memmem
p(p) strdup getenv opendir readdir localtime gmtime asctime ctime dirname basename getpwnam
  getgrnam gethostbyname gettext __cxa_begin_catch __cxa_get_exception_ptr
i(p) atoi puts fclose fflush feof ferror fileno getc fgetc unlink remove rmdir system chdir
  closedir pclose setjmp _setjmp sigemptyset sigfillset putenv unsetenv getc_unlocked uname pipe
  wait pthread_mutex_lock pthread_mutex_unlock pthread_mutex_trylock pthread_mutex_destroy
  pthread_cond_signal pthread_cond_broadcast pthread_cond_destroy pthread_attr_init
  pthread_attr_destroy pthread_rwlock_rdlock pthread_rwlock_wrlock pthread_rwlock_unlock
  sem_post sem_wait _IO_getc feof_unlocked ferror_unlocked fflush_unlocked mkstemp sigpending
  sigsuspend __cxa_guard_acquire dlclose chroot
d(p) atof
d(pp) strtod
f(pp) strtof
l(ppi) strtol strtoul strtoll strtoull __isoc23_strtol __isoc23_strtoul __isoc23_strtoll
  __isoc23_strtoull strtoimax strtoumax
i(i) putchar toupper tolower isalpha isdigit isalnum isspace isupper islower isprint ispunct
  isxdigit iscntrl isgraph close isatty abs dup fsync raise alarm umask sleep usleep
  putchar_unlocked towupper towlower iswalpha iswspace iswdigit iswalnum iswprint wcwidth
  iswupper iswlower setuid setgid seteuid setegid fdatasync sched_get_priority_max
l(l) labs
p(i) strerror strsignal getpwuid getgrgid pthread_getspecific nl_langinfo
l(i) sysconf
i(ip) putc fputc ungetc fstat putc_unlocked fputc_unlocked _IO_putc getrlimit setrlimit
  getrusage clock_gettime clock_settime clock_getres futimens pthread_setspecific
i(pi) access mkdir chmod creat sigaddset sigdelset sigismember __sigsetjmp sigsetjmp
i(pii) chown lchown
i(ii) dup2 kill listen shutdown fchmod killpg setpgid
i(iii) socket fchown
l(ipl) read write readv writev
l(ipll) pread pwrite
l(ipli) send recv
l(ili) lseek lseek64
i(pli) fseek fseeko poll mprotect msync madvise
l(pllp) fread fwrite fread_unlocked fwrite_unlocked
i(pp.) fprintf sprintf fscanf sscanf __isoc99_sscanf __isoc99_fscanf __isoc23_sscanf
  __isoc23_fscanf execl execlp
i(p.) printf scanf
i(plp.) snprintf
i(ip.) dprintf __printf_chk
i(ppp) vfprintf vsprintf vsscanf vfscanf execve __cxa_atexit
i(plpp) vsnprintf
i(pi.) open
i(il.) ioctl
i(ii.) fcntl
v(iip.) error
v(p.) warn warnx
v(ip.) err errx syslog
i(pip.) __fprintf_chk
i(pilp.) __sprintf_chk
i(plilp.) __snprintf_chk
p(ppll) __memcpy_chk __memmove_chk __strncpy_chk __strncat_chk
p(pill) __memset_chk
i(ipp) getopt sigaction sigprocmask pthread_sigmask accept getsockname getpeername
i(ipppp) getopt_long getopt_long_only select
v(pllp) qsort
p(ppllp) bsearch
v(i) exit _exit srand _Exit exit_group closelog
i() getpid getppid getuid geteuid getgid getegid fork rand getchar getpagesize sched_yield
v() abort __stack_chk_fail tzset sync __cxa_rethrow __cxa_end_catch _ZSt9terminatev endpwent
l() clock random pthread_self
p() __errno_location localeconv tmpfile dlerror __ctype_b_loc __ctype_tolower_loc
  __ctype_toupper_loc __h_errno_location
v(ppip) __assert_fail
p(ip) signal setlocale
i(pppp) pthread_create getaddrinfo
i(lp) pthread_join
i(iiipi) setsockopt
i(ipi) connect bind waitpid
l(plpp) strftime
i(pl) truncate gethostname munmap mlock munlock
i(il) ftruncate
p(pliiil) mmap mmap64
d(d) sin cos tan asin acos atan sinh cosh tanh exp exp2 expm1 log log2 log10 log1p sqrt cbrt
  floor ceil fabs rint nearbyint round trunc tgamma lgamma erf erfc
f(f) sinf cosf tanf asinf acosf atanf expf exp2f logf log2f log10f sqrtf cbrtf floorf ceilf
  fabsf rintf roundf truncf
d(dd) pow atan2 fmod hypot fmin fmax copysign fdim remainder
f(ff) powf atan2f fmodf hypotf fminf fmaxf copysignf
d(di) ldexp scalbn
f(fi) ldexpf
d(dp) frexp modf
l(d) lround lrint llround llrint
l(f) lroundf lrintf
i(d) __isnan __isinf __finite ilogb
p(ppi) dcgettext
v(pi) longjmp _longjmp siglongjmp
v(ppp) __cxa_throw
p(pppl) __dynamic_cast
i(ppi) regcomp fnmatch setenv
i(pplpi) regexec
i(pipp) glob
i(pipl) setvbuf
l(ppp) getline
l(ppip) getdelim
"""


def _parse(table: str) -> dict[str, Prototype]:
    found = {}
    for line in table.replace("\n  ", " ").splitlines():
        if not line:
            continue
        types, *names = line.split(" ")
        result, _, parameters = types.rstrip(")").partition("(")
        is_variadic = parameters.endswith(".")
        prototype = Prototype(result, parameters.rstrip("."), is_variadic)
        found.update(dict.fromkeys(names, prototype))
    return found


PROTOTYPES: Final = _parse(_TABLE)
"""By name."""
NO_RETURN: Final = frozenset(
    [
        "exit",
        "_exit",
        "_Exit",
        "abort",
        "__assert_fail",
        "longjmp",
        "_longjmp",
        "siglongjmp",
        "__stack_chk_fail",
        "err",
        "errx",
        "pthread_exit",
        "__cxa_throw",
        "__cxa_rethrow",
        "_Unwind_Resume",
        "_ZSt9terminatev",
        "__clang_call_terminate",
        "_ZSt20__throw_length_errorPKc",
        "_ZSt19__throw_logic_errorPKc",
        "_ZSt17__throw_bad_allocv",
        "_ZSt20__throw_out_of_rangePKc",
        "_ZSt24__throw_out_of_range_fmtPKcz",
        "__cxa_bad_cast",
        "_ZSt28__throw_bad_array_new_lengthv",
        "_ZSt25__throw_bad_function_callv",
        "__chk_fail",
        "_ZSt16__throw_bad_castv",
        "__cxa_pure_virtual",
        "exit_group",
        "__cxa_throw_bad_array_new_length",
        "_ZSt24__throw_invalid_argumentPKc",
        "_ZSt21__throw_runtime_errorPKc",
        "_ZSt20__throw_system_errori",
        "__cxa_bad_typeid",
        "__fortify_fail",
    ]
)
"""Functions that never come back."""
REPORTS_ERRORS: Final = frozenset(
    ["fprintf", "fwrite", "fputs", "fputc", "perror", "vfprintf", "putc", "_IO_putc"]
)
"""Functions that clang takes to be called rarely, where they write to stderr."""
