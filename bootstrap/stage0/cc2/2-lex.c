/* Characters to tokens.
 *
 * `source` is the innermost thing being read: a file, or a list of tokens (a macro's
 * expansion or argument). This file reads from files; 3-preprocess.c does the rest.
 */

struct source {
    struct source *outer;
    char *path;                 /* of a file; 0 for a list */
    char *cursor;
    long line;
    long line_start;            /* only white space so far on this line */
    struct condition *conditions;
    struct token *list;
    struct macro *macro;        /* to be enabled again when the list ends */
    long barrier;               /* the end of this list reads as END */
};

struct source *source;
long skipping;                  /* in a part that #if leaves out: stray quotes are allowed */

/* ---- messages ---- */

/* Fail at the token the parser looks at. */
void fail(char *message, char *detail)
{
    if (token) {
        fail_at(token->file, token->line, message, detail);
    }
    fail_at(0, 0, message, detail);
}

/* ---- unsigned arithmetic on longs ---- */

long below(long a, long b)
{
    if ((a < 0) != (b < 0)) {
        return b < 0;
    }
    return a < b;
}

long shift_right(long value, long count)
{
    if (count == 0) {
        return value;
    }
    return ((value >> 1) & 0x7FFFFFFFFFFFFFFF) >> (count - 1);
}

long divide_unsigned(long a, long b)
{
    long quotient;
    if (b < 0) {
        return !below(a, b);
    }
    if (a >= 0) {
        return a / b;
    }
    quotient = (shift_right(a, 1) / b) << 1;
    if (!below(a - quotient * b, b)) {
        quotient++;
    }
    return quotient;
}

/* ---- names ---- */

struct name *name_table[16384];

struct name *find_name(char *text, long length)
{
    long hash = length;
    long i;
    struct name *n;
    for (i = 0; i < length; i++) {
        hash = (hash * 31 + text[i]) & 16383;
    }
    for (n = name_table[hash]; n; n = n->chain) {
        if (n->length == length && same_bytes(n->text, text, length)) {
            return n;
        }
    }
    n = (struct name *)allocate(sizeof(struct name));
    n->text = copy_text(text, length);
    n->length = length;
    n->chain = name_table[hash];
    name_table[hash] = n;
    return n;
}

struct name *name_of(char *text)
{
    return find_name(text, text_length(text));
}

void keyword(long kind, char *text)
{
    struct name *n = name_of(text);
    n->keyword = kind;
}

/* A key word that is also spelled __word and __word__. */
void keyword_variants(long kind, char *text)
{
    keyword(kind, text);
    keyword(kind, join_text("__", text));
    keyword(kind, join_text(join_text("__", text), "__"));
}

void define_keywords(void)
{
    keyword(K_AUTO, "auto");
    keyword(K_BREAK, "break");
    keyword(K_CASE, "case");
    keyword(K_CHAR, "char");
    keyword(K_CONTINUE, "continue");
    keyword(K_DEFAULT, "default");
    keyword(K_DO, "do");
    keyword(K_DOUBLE, "double");
    keyword(K_ELSE, "else");
    keyword(K_ENUM, "enum");
    keyword(K_EXTERN, "extern");
    keyword(K_FLOAT, "float");
    keyword(K_FOR, "for");
    keyword(K_GOTO, "goto");
    keyword(K_IF, "if");
    keyword(K_INT, "int");
    keyword(K_LONG, "long");
    keyword(K_REGISTER, "register");
    keyword(K_RETURN, "return");
    keyword(K_SHORT, "short");
    keyword(K_SIZEOF, "sizeof");
    keyword(K_STATIC, "static");
    keyword(K_STRUCT, "struct");
    keyword(K_SWITCH, "switch");
    keyword(K_TYPEDEF, "typedef");
    keyword(K_UNION, "union");
    keyword(K_UNSIGNED, "unsigned");
    keyword(K_VOID, "void");
    keyword(K_WHILE, "while");
    keyword_variants(K_CONST, "const");
    keyword_variants(K_INLINE, "inline");
    keyword_variants(K_RESTRICT, "restrict");
    keyword_variants(K_SIGNED, "signed");
    keyword_variants(K_VOLATILE, "volatile");
    keyword_variants(K_TYPEOF, "typeof");
    keyword_variants(K_ASM, "asm");
    keyword(K_ATTRIBUTE, "__attribute__");
    keyword(K_ATTRIBUTE, "__attribute");
    keyword(K_ALIGNOF, "__alignof__");
    keyword(K_ALIGNOF, "__alignof");
    keyword(K_ALIGNOF, "_Alignof");
    keyword(K_EXTENSION, "__extension__");
    keyword(K_BOOL, "_Bool");
    keyword(K_NORETURN, "_Noreturn");
    keyword(K_STATIC_ASSERT, "_Static_assert");
    keyword(K_GENERIC, "_Generic");
    keyword(K_ALIGNAS, "_Alignas");
    keyword(K_COMPLEX, "_Complex");
    keyword(K_THREAD, "_Thread_local");
    keyword(K_THREAD, "__thread");
    keyword(K_VA_START, "__builtin_va_start");
    keyword(K_VA_ARG, "__builtin_va_arg");
    keyword(K_VA_END, "__builtin_va_end");
    keyword(K_VA_COPY, "__builtin_va_copy");
    keyword(K_SYSCALL, "__builtin_syscall");
    keyword(K_SETJMP, "__builtin_setjmp");
    keyword(K_LONGJMP, "__builtin_longjmp");
    keyword(K_FUNCTION_NAME, "__func__");
    keyword(K_FUNCTION_NAME, "__FUNCTION__");
}

/* ---- tokens ---- */

struct token *copy_token(struct token *t)
{
    struct token *copy = (struct token *)allocate(sizeof(struct token));
    copy_bytes((char *)copy, (char *)t, sizeof(struct token));
    copy->next = 0;
    return copy;
}

char *token_text(struct token *t)
{
    if (t->kind == END) {
        return "end of file";
    }
    if (t->kind == NEWLINE) {
        return "end of line";
    }
    return copy_text(t->text, t->length);
}

/* ---- characters ---- */

long is_letter(long c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c >= 128;
}

long is_digit(long c)
{
    return c >= '0' && c <= '9';
}

/* Remove each backslash-newline; put the newlines back at the end of the joined line, so
 * that later lines keep their numbers. */
void join_lines(char *text)
{
    char *from = text;
    char *to = text;
    long removed = 0;
    while (*from) {
        if (*from == '\\' && from[1] == '\n') {
            removed++;
            from += 2;
        } else if (*from == '\\' && from[1] == '\r' && from[2] == '\n') {
            removed++;
            from += 3;
        } else {
            *to = *from;
            to++;
            if (*from == '\n') {
                while (removed) {
                    *to = '\n';
                    to++;
                    removed--;
                }
            }
            from++;
        }
    }
    while (to < from) {
        *to = 0;
        to++;
    }
}

/* Skip white space and comments, not newlines; tell whether there was any. */
long skip_space(void)
{
    char *p = source->cursor;
    long line = source->line;
    while (1) {
        if (*p == ' ' || *p == '\t' || *p == '\r' || *p == 12 || *p == 11) {
            p++;
        } else if (*p == '/' && p[1] == '/') {
            while (*p != '\n') {
                p++;
            }
        } else if (*p == '/' && p[1] == '*') {
            p += 2;
            while (*p != '*' || p[1] != '/') {
                if (*p == '\n') {
                    source->line++;
                }
                if (*p == 0) {
                    fail_at(source->path, line, "comment without end", 0);
                }
                p++;
            }
            p += 2;
        } else {
            line = p != source->cursor;
            source->cursor = p;
            return line;
        }
    }
}

/* The end of a string or character constant that begins at p; 0 if its line ends first. */
char *quoted_end(char *p)
{
    long quote = *p;
    p++;
    while (*p != quote) {
        if (*p == '\n' || *p == 0) {
            return 0;
        }
        if (*p == '\\') {
            p++;
        }
        p++;
    }
    return p + 1;
}

char *number_end(char *p)
{
    while (1) {
        if ((*p == 'e' || *p == 'E' || *p == 'p' || *p == 'P') && (p[1] == '+' || p[1] == '-')) {
            p += 2;
        } else if (is_letter(*p) || is_digit(*p) || *p == '.') {
            p++;
        } else {
            return p;
        }
    }
}

long punctuator_length;

long two(long kind)
{
    punctuator_length = 2;
    return kind;
}

long three(long kind)
{
    punctuator_length = 3;
    return kind;
}

/* The punctuator at p; its length goes to punctuator_length. */
long punctuator(char *p)
{
    long a = *p;
    long b = p[1];
    punctuator_length = 1;
    if (b == '=') {
        switch (a) {
        case '=': return two(EQUAL);
        case '!': return two(NOT_EQUAL);
        case '<': return two(LESS_EQUAL);
        case '>': return two(GREATER_EQUAL);
        case '+': return two(ADD_ASSIGN);
        case '-': return two(SUB_ASSIGN);
        case '*': return two(MUL_ASSIGN);
        case '/': return two(DIV_ASSIGN);
        case '%': return two(MOD_ASSIGN);
        case '&': return two(AND_ASSIGN);
        case '|': return two(OR_ASSIGN);
        case '^': return two(XOR_ASSIGN);
        }
    }
    if (a == b) {
        switch (a) {
        case '+': return two(INCREMENT);
        case '-': return two(DECREMENT);
        case '&': return two(AND_AND);
        case '|': return two(OR_OR);
        case '#': return two(PASTE);
        case '<':
            if (p[2] == '=') {
                return three(LEFT_ASSIGN);
            }
            return two(SHIFT_LEFT);
        case '>':
            if (p[2] == '=') {
                return three(RIGHT_ASSIGN);
            }
            return two(SHIFT_RIGHT);
        case '.':
            if (p[2] == '.') {
                return three(ELLIPSIS);
            }
        }
    }
    if (a == '-' && b == '>') {
        return two(ARROW);
    }
    if (a == '<' && b == ':') {
        return two('[');
    }
    if (a == ':' && b == '>') {
        return two(']');
    }
    if (a == '<' && b == '%') {
        return two('{');
    }
    if (a == '%' && b == '>') {
        return two('}');
    }
    return a;
}

long is_punctuation(long c)
{
    char *all = "+-*/%&|^~!=<>?:;,.()[]{}#";
    while (*all) {
        if (*all == c) {
            return 1;
        }
        all++;
    }
    return 0;
}

/* The end of a token's quoted part, where the prefix ended at p. */
char *token_quoted_end(char *p, struct token *t)
{
    char *end = quoted_end(p);
    if (end) {
        return end;
    }
    if (!skipping) {
        fail_at(t->file, t->line, "constant without closing quote", 0);
    }
    t->kind = STRAY;
    return p + 1;
}

/* Read one token of the current file. */
struct token *lex(void)
{
    struct token *t = (struct token *)allocate(sizeof(struct token));
    char *p;
    char *end;
    t->space = skip_space();
    p = source->cursor;
    t->text = p;
    t->file = source->path;
    t->line = source->line;
    end = p + 1;
    if (*p == 0) {
        t->kind = END;
        end = p;
    } else if (*p == '\n') {
        t->kind = NEWLINE;
        source->line++;
    } else if (*p == '"' || (*p == 'L' && p[1] == '"')) {
        t->kind = STRING;
        end = token_quoted_end(p + (*p == 'L'), t);
    } else if (*p == '\'' || (*p == 'L' && p[1] == '\'')) {
        t->kind = CHARACTER;
        end = token_quoted_end(p + (*p == 'L'), t);
    } else if (is_digit(*p) || (*p == '.' && is_digit(p[1]))) {
        t->kind = NUMBER;
        end = number_end(p);
    } else if (is_letter(*p)) {
        t->kind = NAME;
        while (is_letter(*end) || is_digit(*end)) {
            end++;
        }
        t->name = find_name(p, end - p);
    } else if (is_punctuation(*p)) {
        t->kind = punctuator(p);
        end = p + punctuator_length;
    } else {
        t->kind = STRAY;
    }
    t->length = end - p;
    source->cursor = end;
    return t;
}
