/* cc2: a C compiler for x86_64 that writes a whole static program in one run.
 *
 * The language of this source is the small C of ../small-c.md. The files are read after
 * ../common/common.c, in the order of their numbers; this one holds what they share:
 * structures, constants, and prototypes.
 *
 *   characters -(2-lex)-> tokens -(3-preprocess)-> tokens -(5-types, 6-trees, 7-express,
 *   9-declare, 10-state)-> trees -(8-generate)-> machine code -(11-link)-> an executable
 */

/* ---- tokens ---- */

enum {                          /* kinds; a one-character punctuator is its character */
    END = 0, NEWLINE = 1, NAME = 2, NUMBER = 3, CHARACTER = 4, STRING = 5, STRAY = 6,
    ARROW = 256, INCREMENT, DECREMENT, SHIFT_LEFT, SHIFT_RIGHT, LESS_EQUAL,
    GREATER_EQUAL, EQUAL, NOT_EQUAL, AND_AND, OR_OR, ELLIPSIS, PASTE,
    ADD_ASSIGN, SUB_ASSIGN, MUL_ASSIGN, DIV_ASSIGN, MOD_ASSIGN, AND_ASSIGN,
    OR_ASSIGN, XOR_ASSIGN, LEFT_ASSIGN, RIGHT_ASSIGN,
    /* key words */
    K_AUTO = 300, K_BREAK, K_CASE, K_CHAR, K_CONST, K_CONTINUE, K_DEFAULT, K_DO,
    K_DOUBLE, K_ELSE, K_ENUM, K_EXTERN, K_FLOAT, K_FOR, K_GOTO, K_IF, K_INLINE, K_INT,
    K_LONG, K_REGISTER, K_RESTRICT, K_RETURN, K_SHORT, K_SIGNED, K_SIZEOF, K_STATIC,
    K_STRUCT, K_SWITCH, K_TYPEDEF, K_UNION, K_UNSIGNED, K_VOID, K_VOLATILE, K_WHILE,
    K_BOOL, K_ATTRIBUTE, K_ALIGNOF, K_TYPEOF, K_EXTENSION, K_NORETURN, K_STATIC_ASSERT,
    K_GENERIC, K_ALIGNAS, K_COMPLEX, K_ASM, K_THREAD,
    K_VA_START, K_VA_ARG, K_VA_END, K_VA_COPY, K_SYSCALL, K_SETJMP, K_LONGJMP,
    K_FUNCTION_NAME
};

struct name {                   /* an identifier; one for each spelling */
    char *text;
    long length;
    struct name *chain;         /* in its hash bucket */
    long keyword;               /* a key word's kind, or 0 */
    struct macro *macro;
    struct symbol *symbol;      /* what the name means here */
    struct symbol *tag;         /* what struct NAME, union NAME, enum NAME mean here */
    struct object *external;    /* the program-wide object of this name */
};

struct token {
    long kind;
    struct name *name;          /* of a NAME */
    char *text;                 /* the spelling, with quotes */
    long length;
    long space;                 /* white space stood before it */
    long painted;               /* a macro's name that is not to be expanded again */
    long parameter;             /* in a macro's body: 1 + the parameter's number */
    char *file;
    long line;
    struct token *next;
};

/* ---- numbers with a fraction: mantissa · 2^(exponent - 63), top bit of mantissa set ---- */

enum { REAL_ZERO, REAL_FINITE, REAL_INFINITE, REAL_NAN };

struct real {
    long kind;
    long negative;
    long exponent;
    long mantissa;
};

/* ---- types ---- */

enum {                          /* kinds, integers in order of rank */
    VOID, BOOL, CHAR, SHORT, INT, LONG, FLOAT, DOUBLE, LDOUBLE, POINTER, ARRAY,
    FUNCTION, RECORD
};

struct type {
    long kind;
    long is_unsigned;
    long plain;                 /* of INT, LONG: 1 if spelled otherwise (enum, long long) */
    struct type *base;          /* pointed to, element, or result */
    long count;                 /* elements of an array; -1 while unknown */
    struct parameter *parameters;
    long variadic;              /* the function takes more arguments (...) */
    long unknown;               /* the function was declared with () */
    struct record *record;
    long align;                 /* by an attribute; 0: the type's own */
};

struct parameter {
    struct name *name;
    struct type *type;
    struct parameter *next;
};

struct record {                 /* a struct or union */
    struct name *tag;
    long is_union;
    long complete;
    long size;
    long align;
    struct member *members;
    long flexible;              /* ends in an array without a size */
};

struct member {
    struct name *name;          /* 0: an anonymous struct or union, or padding bits */
    struct type *type;
    long offset;
    long bit_offset;
    long bit_width;             /* -1: not a bit-field */
    struct member *next;
};

/* ---- what names stand for ---- */

enum { SYMBOL_LOCAL, SYMBOL_OBJECT, SYMBOL_TYPEDEF, SYMBOL_CONSTANT, SYMBOL_TAG };

struct symbol {
    long kind;
    struct name *name;
    struct type *type;
    struct object *object;      /* of an OBJECT */
    long value;                 /* frame offset of a LOCAL; value of a CONSTANT */
    long level;                 /* depth of its scope; 0: file */
    long tag_kind;              /* K_STRUCT, K_UNION, K_ENUM of a TAG */
    struct symbol *outer;       /* the meaning it hides */
    struct symbol *previous;    /* declared before it, in any scope */
};

struct object {                 /* a variable or function that has an address */
    struct name *name;          /* 0: a string or another nameless thing */
    long is_function;
    long defined;               /* with code or an initialiser */
    long tentative;             /* a variable declared without one */
    long internal;              /* static: not seen by other files */
    long size;
    long align;
    char *data;                 /* first bytes of a variable; 0: all zero */
    long address;               /* in the text until linking, in memory after */
    struct fixup *fixups;       /* addresses within data */
    char *file;                 /* where it was first named */
    long line;
    struct object *next;
};

struct fixup {                  /* store the address of target + addend at place */
    long place;
    struct object *target;
    long addend;
    long kind;                  /* 8: 64 bits; 4: 32 bits; 0: 32 bits relative to the next byte */
    struct fixup *next;
};

/* ---- trees ---- */

enum {
    /* leaves and places */
    N_CONSTANT, N_REAL, N_LOCAL, N_GLOBAL, N_DEREF,
    /* one operand */
    N_ADDRESS, N_CAST, N_NEGATE, N_COMPLEMENT, N_NOT,
    /* two operands; the order from N_ADD to N_GREATER_EQUAL is used by tables */
    N_ADD, N_SUB, N_MUL, N_DIV, N_MOD, N_AND, N_OR, N_XOR, N_LEFT, N_RIGHT,
    N_EQUAL, N_NOT_EQUAL, N_LESS, N_LESS_EQUAL, N_GREATER, N_GREATER_EQUAL,
    N_BOTH, N_EITHER, N_COMMA, N_ASSIGN,
    /* others */
    N_CHOOSE, N_CALL, N_VA_START, N_VA_ARG, N_SYSCALL, N_SETJMP, N_LONGJMP, N_ZERO
};

struct node {
    long op;
    struct type *type;
    struct node *left;
    struct node *right;
    struct node *third;
    struct node *next;          /* the next argument of a call */
    struct object *object;      /* of a GLOBAL */
    long value;                 /* of a CONSTANT; offset of LOCAL, GLOBAL, DEREF */
    struct real *real;          /* of a REAL */
    long bit_width;             /* of a place that is a bit-field; else -1 */
    long bit_offset;
};

struct label {                  /* a place in the code, perhaps not known yet */
    long address;               /* -1: not yet */
    struct patch *patches;      /* jumps that wait for it */
};

struct patch {
    long place;
    struct patch *next;
};

struct element {                /* a piece of an initialiser */
    long offset;
    struct type *type;
    long bit_width;
    long bit_offset;
    struct node *value;
    struct element *next;
};

/* ---- 2-lex ---- */
void fail(char *message, char *detail);
long below(long a, long b);
long shift_right(long value, long count);
long divide_unsigned(long a, long b);
struct name *find_name(char *text, long length);
struct name *name_of(char *text);
char *token_text(struct token *t);
struct token *copy_token(struct token *t);

/* ---- 3-preprocess ---- */
void start_file(char *path);
void next(void);
struct token *peek(void);
void define_from_option(char *option);
void add_include_folder(char *path);
long preprocessor_condition(void);

/* ---- 4-real ---- */
struct real *real_from_text(char *text, long length, long kind);
struct real *real_from_long(long value, long is_unsigned, long kind);
struct real *real_round(struct real *r, long kind);
struct real *real_operate(long op, struct real *a, struct real *b, long kind);
long real_compare(struct real *a, struct real *b);
long real_to_long(struct real *r, long is_unsigned);
void real_store(char *to, struct real *r, long kind);

/* ---- 5-types ---- */
struct type *new_type(long kind);
struct type *pointer_to(struct type *base);
struct type *array_of(struct type *base, long count);
long size_of(struct type *t);
long align_of(struct type *t);
long is_integer(struct type *t);
long is_float(struct type *t);
long is_arithmetic(struct type *t);
long is_scalar(struct type *t);
long same_type(struct type *a, struct type *b);
struct type *promoted(struct node *n);
struct type *common_type(struct type *a, struct type *b);
long classify(struct type *t, long *classes);

/* ---- 6-trees ---- */
struct node *new_node(long op, struct type *t, struct node *left, struct node *right);
struct node *constant(long value, struct type *t);
struct node *local_place(long offset, struct type *t);
struct node *convert(struct node *n, struct type *t);
struct node *assign_convert(struct node *n, struct type *t, char *what);
struct node *value_of(struct node *n);
struct node *address_of(struct node *n);
struct node *dereference(struct node *n);
struct node *binary(long op, struct node *left, struct node *right);
struct node *unary(long op, struct node *n);
struct node *assign(struct node *place, struct node *value);
struct node *member_of(struct node *base, struct name *name);
struct node *scalar_condition(struct node *n);
struct member *find_member(struct record *r, struct name *name, long *offset);
long is_constant(struct node *n);

/* ---- 7-express ---- */
struct node *expression(void);
struct node *assignment(void);
struct node *conditional(void);
long constant_expression(void);
struct node *string_place(void);
void expect(long kind, char *what);
long accept(long kind);

/* ---- 8-generate ---- */
long new_local(long size, long align);
void generate(struct node *n);
void generate_discard(struct node *n);
void generate_branch(struct node *n, struct label *target, long sense);
struct label *new_label(void);
void place_label(struct label *l);
void jump(struct label *l);
void begin_function(struct object *o, struct type *t, struct symbol **parameters, long count);
void end_function(void);
void generate_return(struct node *n);
void generate_search(long *values, struct label **labels, long from, long to, struct label *otherwise);

/* ---- 9-declare ---- */
long starts_type(void);
struct type *type_name(void);
void declaration(long at_file_scope);
void enter_scope(void);
void leave_scope(void);
void leave_file_scope(void);
struct symbol *declare(long kind, struct name *name, struct type *t);
struct node *compound_literal(struct type *t);

/* ---- 10-state ---- */
void statement(void);
void function_body(struct name *name, struct object *o, struct type *t);

/* ---- 11-link ---- */
struct object *new_object(struct name *name);
struct object *external_object(struct name *name);
void begin_program(void);
void link_program(char *path);

/* ---- shared variables ---- */
struct token *token;            /* the token the parser looks at */
struct buffer *text;            /* the machine code of the program */
