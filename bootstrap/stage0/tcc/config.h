/* Instead of what tcc's configure would write. CONFIG_TCCBOOT leaves out what needs more
 * than a plain C library: run-time backtraces, bounds checking, locks. */
#define TCC_VERSION "0.9.27"
#define TCC_TARGET_X86_64 1
#define CONFIG_TCC_STATIC 1
#define CONFIG_TCCBOOT 1
#define CONFIG_TCCDIR "/usr/lib/tcc"
