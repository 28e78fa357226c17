void assertion_failed(const char *text, const char *file, int line);
#undef assert
#ifdef NDEBUG
#define assert(x) ((void)0)
#else
#define assert(x) ((x) ? (void)0 : assertion_failed(#x, __FILE__, __LINE__))
#endif
