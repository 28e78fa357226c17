#ifndef INCLUDED
#define INCLUDED 0
#else
#undef INCLUDED
#define INCLUDED 2
#endif
