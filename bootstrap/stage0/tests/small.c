/* small OUT FILE...: the compiler for the small C, written in the small C.
 *
 * A model of cc1, for reading beside its assembly, and a check that every program that
 * claims to be in the small C is: it accepts what ../small-c.md says and nothing else.
 *
 * One pass, no trees. The value of an expression is left in rax; what waits lies on the
 * stack. While `is_place`, rax holds the address of the value instead. Arguments are pushed
 * left to right; variables lie in the frame at rbp; globals lie at fixed addresses from
 * GLOBALS on; a string lies in the code, behind a call over it that pushes its address.
 */

enum { END = 0, NAME = 1, NUMBER = 2, STRING = 3 };     /* other kinds: the characters */
enum { TEXT = 0x400000, HEADERS = 176, GLOBALS = 0x10000000 };

/* Types are base * 16 + depth of pointers. */
enum { VOID = 0, LONG = 16, CHAR = 32, FIRST_STRUCT = 3 };

enum { CONSTANT = 1, GLOBAL, ARRAY, LOCAL, FUNCTION };

struct symbol {
    char *name;
    long length;
    long kind;
    long type;
    long value;                 /* constant, address, or offset from rbp */
    long count;                 /* a function's parameters */
    long defined;
    long patches;               /* calls that wait: the place of the last; each holds the one before */
};

struct member {
    char *name;
    long length;
    long type;
    struct member *next;
};

struct record {
    char *name;
    long length;
    long defined;
    long count;
    struct member *members;
};

struct symbol symbols[8192];
long symbol_count;
long global_count;              /* symbols below this are global */
struct record records[256];
long record_count;
char text[4194304];
long text_length_now;
long next_global;

char *path;
long line;
char *cursor;
long kind;                      /* of the token */
char *word;
long word_length;
long number;

long type;                      /* of the value in rax */
long is_place;                  /* rax holds its address */
long frame;                     /* bytes of local variables so far */
long frame_largest;
long result;                    /* type of the function being compiled */
long break_patches;             /* jumps that wait, as in struct symbol; -1: not in a loop */
long continue_patches;
long syscall_number;            /* the symbol of syscall */

void expression(void);
void statement(void);

void fail(char *message)
{
    char *detail = word;
    if (kind == END) {
        detail = "end of file";
    } else {
        detail = copy_text(word, word_length);
    }
    fail_at(path, line, message, detail);
}

/* ---- tokens ---- */

long is_letter(long c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

long is_digit(long c)
{
    return c >= '0' && c <= '9';
}

void skip_space(void)
{
    long start;
    while (1) {
        if (*cursor == '\n') {
            line++;
            cursor++;
        } else if (*cursor == ' ' || *cursor == '\t') {
            cursor++;
        } else if (*cursor == '/' && cursor[1] == '/') {
            while (*cursor != '\n') {
                cursor++;
            }
        } else if (*cursor == '/' && cursor[1] == '*') {
            start = line;
            cursor += 2;
            while (*cursor != '*' || cursor[1] != '/') {
                if (*cursor == '\n') {
                    line++;
                }
                if (!*cursor) {
                    fail_at(path, start, "comment without end", 0);
                }
                cursor++;
            }
            cursor += 2;
        } else {
            return;
        }
    }
}

/* The character at the cursor, where \ begins an escape. */
long character(void)
{
    long c = *cursor;
    cursor++;
    if (c == '\n' || c == 0) {
        fail("constant without closing quote");
    }
    if (c != '\\') {
        return c;
    }
    c = *cursor;
    cursor++;
    switch (c) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    case '0': return 0;
    case '\\': case '\'': case '"': return c;
    }
    fail("unknown escape");
    return 0;
}

long digit(long c, long base)
{
    if (is_digit(c)) {
        return c - '0';
    }
    c |= 32;
    if (base == 16 && c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return -1;
}

void read_number(void)
{
    long base = 10;
    number = 0;
    if (*cursor == '0' && cursor[1] == 'x') {
        base = 16;
        cursor += 2;
    }
    while (digit(*cursor, base) >= 0) {
        number = number * base + digit(*cursor, base);
        cursor++;
    }
    if (is_letter(*cursor)) {
        fail("bad number");
    }
}

/* Punctuators of two characters and of three: a kind is c + 256 · d + 65536 · e. */
long second(long c, long d)
{
    if (d == '=') {
        return c == '=' || c == '!' || c == '<' || c == '>' || c == '+' || c == '-' || c == '*' ||
               c == '/' || c == '%' || c == '&' || c == '|' || c == '^';
    }
    return (c == d && (c == '+' || c == '-' || c == '&' || c == '|' || c == '<' || c == '>')) ||
           (c == '-' && d == '>');
}

void next(void)
{
    skip_space();
    word = cursor;
    word_length = 1;
    kind = *cursor;
    if (!kind) {
        return;
    }
    if (is_letter(kind)) {
        while (is_letter(*cursor) || is_digit(*cursor)) {
            cursor++;
        }
        kind = NAME;
    } else if (is_digit(kind)) {
        read_number();
        kind = NUMBER;
    } else if (kind == '"') {
        kind = STRING;
        cursor++;
        while (*cursor != '"') {
            character();
        }
        cursor++;
    } else if (kind == '\'') {
        cursor++;
        kind = NUMBER;
        number = character();
        if (*cursor != '\'') {
            fail("constant without closing quote");
        }
        cursor++;
    } else {
        cursor++;
        if (second(kind, *cursor)) {
            kind += *cursor * 256;
            cursor++;
            if ((kind == '<' * 257 || kind == '>' * 257) && *cursor == '=') {
                kind += '=' * 65536;
                cursor++;
            }
        }
    }
    word_length = cursor - word;
}

long is_word(char *text)
{
    return kind == NAME && word_length == text_length(text) && same_bytes(word, text, word_length);
}

void expect(long wanted)
{
    if (kind != wanted) {
        fail("not expected here:");
    }
    next();
}

long accept(long wanted)
{
    if (kind == wanted) {
        next();
        return 1;
    }
    return 0;
}

long accept_word(char *text)
{
    if (is_word(text)) {
        next();
        return 1;
    }
    return 0;
}

/* ---- code ---- */

void emit_byte(long byte)
{
    if (text_length_now == 4194304) {
        fail("too much code at");
    }
    text[text_length_now] = byte;
    text_length_now++;
}

void emit(long bytes)
{
    long shift = 56;
    while (shift > 0 && ((bytes >> shift) & 255) == 0) {
        shift -= 8;
    }
    while (shift >= 0) {
        emit_byte(bytes >> shift);
        shift -= 8;
    }
}

void emit_number(long value, long size)
{
    while (size > 0) {
        emit_byte(value);
        value = value >> 8;
        size--;
    }
}

void load_number(long value)
{
    if (value >= -2147483648 && value < 2147483648) {
        emit(0x48C7C0);                 /* mov rax, value */
        emit_number(value, 4);
    } else {
        emit(0x48B8);
        emit_number(value, 8);
    }
}

/* Emit a jump to a place that is not known; give the list it is put in front of. */
long jump_forward(long opcode, long patches)
{
    emit(opcode);
    emit_number(patches, 4);
    return text_length_now - 4;
}

/* Let all jumps of a list go here. */
void patch_all(long patches)
{
    long before;
    while (patches) {
        before = text[patches] | text[patches + 1] << 8 | text[patches + 2] << 16 | text[patches + 3] << 24;
        write_number(text + patches, text_length_now - patches - 4, 4);
        patches = before;
    }
}

void jump_back(long place)
{
    emit(0xE9);
    emit_number(place - text_length_now - 4, 4);
}

void push(void)
{
    emit(0x50);                         /* push rax */
}

/* ---- types ---- */

long is_pointer(long t)
{
    return (t & 15) != 0;
}

/* The size of a value in memory. */
long size_of(long t)
{
    if (is_pointer(t) || t == LONG) {
        return 8;
    }
    if (t == CHAR) {
        return 1;
    }
    if (t == VOID || !(records + t / 16)->defined) {
        fail("a type without size, before");
    }
    return (records + t / 16)->count * 8;
}

struct record *find_record(void)
{
    long i;
    for (i = FIRST_STRUCT; i < record_count; i++) {
        if ((records + i)->length == word_length && same_bytes((records + i)->name, word, word_length)) {
            return records + i;
        }
    }
    if (record_count == 256) {
        fail("too many structs");
    }
    (records + i)->name = word;
    (records + i)->length = word_length;
    record_count++;
    return records + i;
}

long starts_type(void)
{
    return is_word("long") || is_word("char") || is_word("void") || is_word("struct");
}

long read_type(void)
{
    long t = VOID;
    if (accept_word("long")) {
        t = LONG;
    } else if (accept_word("char")) {
        t = CHAR;
    } else if (accept_word("void")) {
        t = VOID;
    } else if (accept_word("struct")) {
        if (kind != NAME) {
            fail("expected a name, found");
        }
        t = (find_record() - records) * 16;
        next();
    } else {
        fail("expected a type, found");
    }
    while (accept('*')) {
        t++;
    }
    return t;
}

/* A type whose values fit a register. */
void check_scalar(long t)
{
    if (t != LONG && !is_pointer(t)) {
        fail("must be long or a pointer:");
    }
}

/* ---- symbols ---- */

struct symbol *find_symbol(long from)
{
    long i;
    for (i = symbol_count - 1; i >= from; i--) {
        if ((symbols + i)->length == word_length && same_bytes((symbols + i)->name, word, word_length)) {
            return symbols + i;
        }
    }
    return 0;
}

/* Declare the name that is the token, and go past it. */
struct symbol *declare(long symbol_kind, long t, long value)
{
    struct symbol *s;
    if (kind != NAME || starts_type()) {
        fail("expected a name, found");
    }
    if (symbol_count == 8192) {
        fail("too many names");
    }
    s = symbols + symbol_count;
    symbol_count++;
    s->name = word;
    s->length = word_length;
    s->kind = symbol_kind;
    s->type = t;
    s->value = value;
    s->defined = 0;
    s->patches = 0;
    s->count = 0;
    next();
    return s;
}

long constant(void)
{
    long negative = accept('-');
    long value;
    struct symbol *s;
    if (kind == NAME) {
        s = find_symbol(0);
        if (!s || s->kind != CONSTANT) {
            fail("no constant:");
        }
        value = s->value;
    } else {
        if (kind != NUMBER) {
            fail("no constant:");
        }
        value = number;
    }
    next();
    if (negative) {
        return -value;
    }
    return value;
}

/* ---- expressions ---- */

/* Make rax the value, if it is its address. */
void load(void)
{
    if (is_place) {
        if (type == CHAR) {
            emit(0x0FB600);             /* movzx eax, byte [rax] */
        } else {
            check_scalar(type);
            emit(0x488B00);             /* mov rax, [rax] */
        }
        is_place = 0;
    }
    if (type == CHAR) {
        type = LONG;
    }
}

void store_rax_at_rcx(long t)
{
    if (t == CHAR) {
        emit(0x8801);                   /* mov [rcx], al */
    } else {
        check_scalar(t);
        emit(0x488901);                 /* mov [rcx], rax */
    }
}

/* Multiply rax by the size of what a pointer of type t points to. */
void scale(long t)
{
    long size;
    if (is_pointer(t)) {
        size = size_of(t - 1);
        if (size != 1) {
            emit(0x4869C0);             /* imul rax, rax, size */
            emit_number(size, 4);
        }
    }
}

/* rax = rax op rcx, for types left and right; op is a token. */
void operate(long op, long left, long right)
{
    type = LONG;
    switch (op) {
    case '+':
        emit(0x4801C8);                 /* add rax, rcx */
        type = left;
        if (is_pointer(right)) {
            type = right;
        }
        return;
    case '-':
        emit(0x4829C8);                 /* sub rax, rcx */
        if (is_pointer(left) && is_pointer(right)) {
            if (size_of(left - 1) != 1) {
                emit(0x48C7C1);         /* mov rcx, size */
                emit_number(size_of(left - 1), 4);
                emit(0x4899);           /* cqo */
                emit(0x48F7F9);         /* idiv rcx */
            }
        } else {
            type = left;
        }
        return;
    case '*': emit(0x480FAFC1); return; /* imul rax, rcx */
    case '&': emit(0x4821C8); return;   /* and rax, rcx */
    case '|': emit(0x4809C8); return;   /* or rax, rcx */
    case '^': emit(0x4831C8); return;   /* xor rax, rcx */
    case '/': emit(0x489948F7F9); return;               /* cqo; idiv rcx */
    case '%': emit(0x489948F7F94889D0); return;         /* cqo; idiv rcx; mov rax, rdx */
    }
    if (op == '<' * 257) {
        emit(0x48D3E0);                 /* shl rax, cl */
        return;
    }
    if (op == '>' * 257) {
        emit(0x48D3F8);                 /* sar rax, cl */
        return;
    }
    emit(0x4839C8);                     /* cmp rax, rcx */
    if (op == '=' * 257) {
        emit(0x0F94C0);                 /* sete al */
    } else if (op == '!' + '=' * 256) {
        emit(0x0F95C0);
    } else if (op == '<') {
        emit(0x0F9CC0);
    } else if (op == '<' + '=' * 256) {
        emit(0x0F9EC0);
    } else if (op == '>') {
        emit(0x0F9FC0);
    } else {
        emit(0x0F9DC0);
    }
    emit(0x0FB6C0);                     /* movzx eax, al */
}

/* Operators by strength; 0: no binary operator, or one that is handled elsewhere. */
long strength(long op)
{
    switch (op) {
    case '*': case '/': case '%': return 10;
    case '+': case '-': return 9;
    case '<': case '>': return 7;
    case '&': return 5;
    case '^': return 4;
    case '|': return 3;
    }
    if (op == '<' * 257 || op == '>' * 257) {
        return 8;
    }
    if (op == '<' + '=' * 256 || op == '>' + '=' * 256) {
        return 7;
    }
    if (op == '=' * 257 || op == '!' + '=' * 256) {
        return 6;
    }
    if (op == '&' * 257) {
        return 2;
    }
    if (op == '|' * 257) {
        return 1;
    }
    return 0;
}

void string(void)
{
    long start;
    char *end;
    emit(0xE8);                         /* call over the string */
    start = text_length_now;
    emit_number(0, 4);
    end = cursor;
    cursor = word + 1;
    while (*cursor != '"') {
        emit_byte(character());
    }
    cursor = end;
    emit_byte(0);
    write_number(text + start, text_length_now - start - 4, 4);
    emit(0x58);                         /* pop rax */
    type = CHAR + 1;
    is_place = 0;
    next();
}

void call(struct symbol *s)
{
    long count = 0;
    expect('(');
    while (kind != ')') {
        expression();
        push();
        count++;
        if (kind != ')') {
            expect(',');
        }
    }
    next();
    if (count != s->count) {
        fail("wrong number of arguments before");
    }
    if (s - symbols == syscall_number) {
        emit(0x415A5A5E5F58);           /* pop r10, rdx, rsi, rdi, rax */
        emit(0x0F05);                   /* syscall */
    } else {
        if (s->defined) {
            emit(0xE8);                 /* call */
            emit_number(s->value - text_length_now - 4, 4);
        } else {
            s->patches = jump_forward(0xE8, s->patches);
        }
        emit(0x4881C4);                 /* add rsp, size of the arguments */
        emit_number(8 * count, 4);
    }
    type = s->type;
    is_place = 0;
}

void name(void)
{
    struct symbol *s = find_symbol(0);
    if (!s) {
        fail("undeclared name");
    }
    next();
    if (s->kind == FUNCTION) {
        call(s);
        return;
    }
    type = s->type;
    is_place = s->kind == GLOBAL || s->kind == LOCAL;
    if (s->kind == LOCAL) {
        emit(0x488D85);                 /* lea rax, [rbp + offset] */
        emit_number(s->value, 4);
    } else {
        load_number(s->value);
    }
}

void unary(void);

/* ++ or -- of a place; with `after`, the old value is left. */
void step(long op, long after)
{
    long place_type = type;
    if (!is_place || type == CHAR) {
        fail("cannot be stepped, before");
    }
    emit(0x4889C1);                     /* mov rcx, rax */
    load();
    if (after) {
        push();
    }
    load_number(1);
    scale(place_type);
    if (op == '+' * 257) {
        emit(0x480301);                 /* add rax, [rcx] */
    } else {
        emit(0x48F7D8);                 /* neg rax */
        emit(0x480301);                 /* add rax, [rcx] */
    }
    store_rax_at_rcx(place_type);
    if (after) {
        emit(0x58);                     /* pop rax */
    }
    type = place_type;
}

void member(void)
{
    struct member *m;
    long index = 0;
    load();
    if ((type & 15) != 1 || type / 16 < FIRST_STRUCT) {
        fail("no pointer to a struct, before");
    }
    for (m = (records + type / 16)->members; m; m = m->next) {
        if (m->length == word_length && same_bytes(m->name, word, word_length)) {
            if (index) {
                emit(0x4805);           /* add rax, offset */
                emit_number(8 * index, 4);
            }
            type = m->type;
            is_place = 1;
            next();
            return;
        }
        index++;
    }
    fail("no such member");
}

void postfix(void)
{
    long outer;
    while (1) {
        if (accept('[')) {
            load();
            outer = type;
            if (!is_pointer(outer)) {
                fail("no pointer before");
            }
            push();
            expression();
            scale(outer);
            emit(0x59);                 /* pop rcx */
            emit(0x4801C8);             /* add rax, rcx */
            expect(']');
            type = outer - 1;
            is_place = 1;
        } else if (accept('-' + '>' * 256)) {
            member();
        } else if (kind == '+' * 257 || kind == '-' * 257) {
            outer = kind;
            next();
            step(outer, 1);
        } else {
            return;
        }
    }
}

void cast_or_brackets(void)
{
    long t;
    next();
    if (starts_type()) {
        t = read_type();
        expect(')');
        unary();
        load();
        check_scalar(t);
        type = t;
    } else {
        expression();
        expect(')');
        postfix();
    }
}

void unary(void)
{
    long op = kind;
    if (op == '(') {
        cast_or_brackets();
    } else if (op == NUMBER) {
        load_number(number);
        type = LONG;
        is_place = 0;
        next();
    } else if (op == STRING) {
        string();
        postfix();
    } else if (accept_word("sizeof")) {
        expect('(');
        load_number(size_of(read_type()));
        expect(')');
        type = LONG;
        is_place = 0;
    } else if (op == NAME) {
        name();
        postfix();
    } else if (op == '+' * 257 || op == '-' * 257) {
        next();
        unary();
        step(op, 0);
    } else if (accept('&')) {
        unary();
        if (!is_place) {
            fail("no place to take the address of, before");
        }
        is_place = 0;
        type++;
    } else if (accept('*')) {
        unary();
        load();
        if (!is_pointer(type)) {
            fail("no pointer before");
        }
        type--;
        is_place = 1;
    } else {
        if (op != '-' && op != '~' && op != '!') {
            fail("expected an expression, found");
        }
        next();
        unary();
        load();
        if (op == '-') {
            emit(0x48F7D8);             /* neg rax */
        } else if (op == '~') {
            emit(0x48F7D0);             /* not rax */
        } else {
            emit(0x4885C0);             /* test rax, rax */
            emit(0x0F94C0);             /* sete al */
            emit(0x0FB6C0);             /* movzx eax, al */
        }
        type = LONG;
    }
}

/* Operators of at least the given strength, after their first operand. */
void binary(long least)
{
    long op;
    long left;
    long patches;
    while (strength(kind) >= least) {
        op = kind;
        load();
        next();
        if (op == '&' * 257 || op == '|' * 257) {
            emit(0x4885C0);             /* test rax, rax */
            patches = jump_forward(0x0F84 + (op == '|' * 257), 0);
            unary();
            binary(strength(op) + 1);
            load();
            emit(0x4885C0);             /* test rax, rax */
            patch_all(patches);
            emit(0x0F95C0);             /* setne al */
            emit(0x0FB6C0);             /* movzx eax, al */
            type = LONG;
        } else {
            left = type;
            push();
            unary();
            binary(strength(op) + 1);
            load();
            if (op == '+' || op == '-') {
                if (is_pointer(left) && !is_pointer(type)) {
                    scale(left);
                }
            }
            emit(0x4889C1);             /* mov rcx, rax */
            emit(0x58);                 /* pop rax */
            if (op == '+' && is_pointer(type) && !is_pointer(left)) {
                fail("write pointer + number, not number + pointer, before");
            }
            operate(op, left, type);
        }
    }
}

void conditional(void)
{
    long otherwise;
    long end;
    unary();
    binary(1);
    if (kind == '?') {
        load();
        next();
        emit(0x4885C0);                 /* test rax, rax */
        otherwise = jump_forward(0x0F84, 0);
        expression();
        end = jump_forward(0xE9, 0);
        patch_all(otherwise);
        expect(':');
        conditional();
        load();
        patch_all(end);
    }
}

/* The operator that an assignment carries out first; 0 for `=`, -1 for no assignment. */
long assignment_operator(void)
{
    if (kind == '=') {
        return 0;
    }
    if (kind > 65536) {
        return kind & 65535;
    }
    if (kind / 256 == '=' && strength(kind) == 0) {
        return kind & 255;
    }
    return -1;
}

/* An expression, as a value. */
void expression(void)
{
    long op;
    long place_type;
    conditional();
    op = assignment_operator();
    if (op >= 0) {
        if (!is_place) {
            fail("cannot assign before");
        }
        place_type = type;
        next();
        push();
        expression();
        emit(0x59);                     /* pop rcx */
        if (op) {
            if (op == '+' || op == '-') {
                scale(place_type);
            }
            emit(0x51);                 /* push rcx */
            push();
            emit(0x4889C8);             /* mov rax, rcx */
            type = place_type;
            is_place = 1;
            load();
            emit(0x59);                 /* pop rcx */
            operate(op, type, LONG);
            emit(0x59);                 /* pop rcx */
        }
        store_rax_at_rcx(place_type);
        type = place_type;
        if (type == CHAR) {
            type = VOID;                /* the value must not be used */
        }
    }
    load();
}

/* ---- statements ---- */

/* Evaluate a condition; give the list of the jump that is taken if it is false. */
long condition(void)
{
    expect('(');
    expression();
    expect(')');
    emit(0x4885C0);                     /* test rax, rax */
    return jump_forward(0x0F84, 0);
}

void local(void)
{
    long t = read_type();
    struct symbol *s;
    check_scalar(t);
    frame += 8;
    if (frame > frame_largest) {
        frame_largest = frame;
    }
    s = declare(LOCAL, t, -frame);
    if (accept('=')) {
        expression();
        emit(0x488985);                 /* mov [rbp + offset], rax */
        emit_number(s->value, 4);
    }
    expect(';');
}

void block(void)
{
    long outer_count = symbol_count;
    long outer_frame = frame;
    expect('{');
    while (kind != '}') {
        if (starts_type()) {
            local();
        } else {
            statement();
        }
    }
    next();
    symbol_count = outer_count;
    frame = outer_frame;
}

void if_statement(void)
{
    long otherwise = condition();
    long end;
    statement();
    if (accept_word("else")) {
        end = jump_forward(0xE9, 0);
        patch_all(otherwise);
        statement();
        patch_all(end);
    } else {
        patch_all(otherwise);
    }
}

void while_statement(void)
{
    long outer_break = break_patches;
    long outer_continue = continue_patches;
    long start = text_length_now;
    continue_patches = 0;
    break_patches = condition();
    statement();
    patch_all(continue_patches);
    jump_back(start);
    patch_all(break_patches);
    break_patches = outer_break;
    continue_patches = outer_continue;
}

void for_statement(void)
{
    long outer_break = break_patches;
    long outer_continue = continue_patches;
    long start;
    long step_start;
    long body;
    expect('(');
    if (kind != ';') {
        expression();
    }
    expect(';');
    start = text_length_now;
    break_patches = 0;
    if (kind != ';') {
        expression();
        emit(0x4885C0);                 /* test rax, rax */
        break_patches = jump_forward(0x0F84, 0);
    }
    expect(';');
    body = jump_forward(0xE9, 0);
    step_start = text_length_now;
    if (kind != ')') {
        expression();
    }
    expect(')');
    jump_back(start);
    patch_all(body);
    continue_patches = 0;
    statement();
    patch_all(continue_patches);
    jump_back(step_start);
    patch_all(break_patches);
    break_patches = outer_break;
    continue_patches = outer_continue;
}

/* Comparisons lie before each case: a failed one goes on to the next. */
void switch_statement(void)
{
    long outer_break = break_patches;
    long to_next;
    long fall = 0;
    long otherwise = 0;
    frame += 8;
    if (frame > frame_largest) {
        frame_largest = frame;
    }
    expect('(');
    expression();
    expect(')');
    emit(0x488985);                     /* mov [rbp - frame], rax */
    emit_number(-frame, 4);
    break_patches = 0;
    to_next = jump_forward(0xE9, 0);
    expect('{');
    while (kind != '}') {
        if (accept_word("case")) {
            fall = jump_forward(0xE9, 0);
            patch_all(to_next);
            load_number(constant());
            expect(':');
            emit(0x483B85);             /* cmp rax, [rbp - frame] */
            emit_number(-frame, 4);
            to_next = jump_forward(0x0F85, 0);
            patch_all(fall);
        } else if (accept_word("default")) {
            expect(':');
            otherwise = text_length_now;
        } else {
            statement();
        }
    }
    next();
    break_patches = jump_forward(0xE9, break_patches);
    patch_all(to_next);
    if (otherwise) {
        jump_back(otherwise);
    }
    patch_all(break_patches);
    break_patches = outer_break;
    frame -= 8;
}

void statement(void)
{
    if (kind == '{') {
        block();
    } else if (accept(';')) {
        return;
    } else if (accept_word("if")) {
        if_statement();
    } else if (accept_word("while")) {
        while_statement();
    } else if (accept_word("for")) {
        for_statement();
    } else if (accept_word("switch")) {
        switch_statement();
    } else if (accept_word("return")) {
        if (kind != ';') {
            if (result == VOID) {
                fail("a void function returns");
            }
            expression();
        }
        emit(0xC9C3);                   /* leave; ret */
        expect(';');
    } else if (accept_word("break")) {
        if (break_patches < 0) {
            fail("break outside a loop, before");
        }
        break_patches = jump_forward(0xE9, break_patches);
        expect(';');
    } else if (accept_word("continue")) {
        if (continue_patches < 0) {
            fail("continue outside a loop, before");
        }
        continue_patches = jump_forward(0xE9, continue_patches);
        expect(';');
    } else {
        if (starts_type()) {
            fail("no declaration may stand here:");
        }
        expression();
        expect(';');
    }
}

/* ---- file scope ---- */

void enumeration(void)
{
    long value = 0;
    struct symbol *s;
    expect('{');
    while (kind != '}') {
        if (find_symbol(0)) {
            fail("declared before:");
        }
        s = declare(CONSTANT, LONG, 0);
        if (accept('=')) {
            value = constant();
        }
        s->value = value;
        value++;
        if (kind != '}') {
            expect(',');
        }
    }
    next();
    expect(';');
}

void structure(struct record *r)
{
    struct member *m;
    struct member *last = 0;
    if (r->defined) {
        fail("defined before, at");
    }
    next();
    while (kind != '}') {
        m = (struct member *)allocate(sizeof(struct member));
        m->type = read_type();
        check_scalar(m->type);
        m->name = word;
        m->length = word_length;
        expect(NAME);
        expect(';');
        if (last) {
            last->next = m;
        } else {
            r->members = m;
        }
        last = m;
        r->count++;
    }
    r->defined = 1;
    next();
    expect(';');
}

void parameters(struct symbol *s)
{
    long count = 0;
    long t;
    long i;
    expect('(');
    while (kind != ')') {
        t = read_type();
        if (t == VOID && count == 0 && kind == ')') {
            break;
        }
        check_scalar(t);
        declare(LOCAL, t, 0);
        count++;
        if (kind != ')') {
            expect(',');
        }
    }
    next();
    for (i = 0; i < count; i++) {
        (symbols + global_count + i)->value = 16 + 8 * (count - 1 - i);
    }
    if (s->count >= 0 && s->count != count) {
        fail("another number of parameters than before, at");
    }
    s->count = count;
}

void function(struct symbol *s)
{
    long frame_place;
    global_count = symbol_count;
    parameters(s);
    if (accept(';')) {
        if (s->length == 7 && same_bytes(s->name, "syscall", 7)) {
            syscall_number = s - symbols;
            s->defined = 1;
        }
        symbol_count = global_count;
        return;
    }
    if (s->defined) {
        fail("defined before, at");
    }
    s->defined = 1;
    patch_all(s->patches);
    s->value = text_length_now;
    frame = 0;
    frame_largest = 0;
    result = s->type;
    break_patches = -1;
    continue_patches = -1;
    emit(0x55);                         /* push rbp */
    emit(0x4889E5);                     /* mov rbp, rsp */
    emit(0x4881EC);                     /* sub rsp, size */
    frame_place = text_length_now;
    emit_number(0, 4);
    block();
    emit(0xC9C3);                       /* leave; ret */
    write_number(text + frame_place, frame_largest, 4);
    symbol_count = global_count;
}

void global(struct symbol *s)
{
    long size = size_of(s->type);
    s->value = next_global;
    if (accept('[')) {
        size = size * constant();
        s->kind = ARRAY;
        s->type++;
        expect(']');
    } else {
        check_scalar(s->type);
    }
    next_global = (next_global + size + 15) & -16;
    expect(';');
}

void declaration(void)
{
    long t;
    struct record *r;
    struct symbol *s;
    if (accept_word("enum")) {
        enumeration();
        return;
    }
    t = read_type();
    if (t / 16 >= FIRST_STRUCT && !is_pointer(t)) {
        r = records + t / 16;
        if (kind == '{') {
            structure(r);
            return;
        }
        if (accept(';')) {
            return;
        }
    }
    s = find_symbol(0);
    if (s) {
        if (s->kind != FUNCTION || s->type != t) {
            fail("declared before:");
        }
        next();
    } else {
        s = declare(GLOBAL, t, 0);
        if (kind == '(') {
            s->kind = FUNCTION;
            s->count = -1;
        }
    }
    if (s->kind == FUNCTION) {
        if (t != VOID) {
            check_scalar(t);
        }
        function(s);
    } else {
        global(s);
    }
}

/* ---- the executable ---- */

void put_number(struct buffer *b, long value, long size)
{
    while (size > 0) {
        put_byte(b, value);
        value = value >> 8;
        size--;
    }
}

void put_segment(struct buffer *b, long flags, long address, long file_size, long memory_size)
{
    put_number(b, 1, 4);
    put_number(b, flags, 4);
    put_number(b, 0, 8);
    put_number(b, address, 8);
    put_number(b, address, 8);
    put_number(b, file_size, 8);
    put_number(b, memory_size, 8);
    put_number(b, 4096, 8);
}

void write_program(char *out)
{
    struct buffer *b = (struct buffer *)allocate(sizeof(struct buffer));
    put_number(b, 0x464C457F, 4);
    put_number(b, 0x00010102, 4);
    put_number(b, 0, 8);
    put_number(b, 0x003E0002, 4);
    put_number(b, 1, 4);
    put_number(b, TEXT + HEADERS, 8);
    put_number(b, 64, 8);
    put_number(b, 0, 8);
    put_number(b, 0, 4);
    put_number(b, 0x00380040, 4);
    put_number(b, 2, 2);
    put_number(b, 0, 6);
    put_segment(b, 5, TEXT, HEADERS + text_length_now, HEADERS + text_length_now);
    put_segment(b, 6, GLOBALS, 0, next_global - GLOBALS);
    put_bytes(b, text, text_length_now);
    write_file(out, b, 493);
}

/* Where the kernel enters: push argc and argv, call main, exit with its result. */
long start_code(void)
{
    emit(0x4889E1);                     /* mov rcx, rsp */
    emit(0xFF31);                       /* push [rcx] */
    emit(0x4883C108);                   /* add rcx, 8 */
    emit(0x51);                         /* push rcx */
    emit(0xE8);                         /* call main */
    emit_number(0, 4);
    emit(0x4889C7);                     /* mov rdi, rax */
    emit(0xB83C000000);                 /* mov eax, 60 */
    emit(0x0F05);                       /* syscall */
    return 11;
}

long main(long argc, char **argv)
{
    long main_call;
    long i;
    program = "small";
    if (argc < 3) {
        fail_at(0, 0, "usage: small OUT FILE...", 0);
    }
    record_count = FIRST_STRUCT;
    next_global = GLOBALS + 16;
    syscall_number = -1;
    main_call = start_code();
    for (i = 2; i < argc; i++) {
        path = argv[i];
        line = 1;
        cursor = read_file(path);
        if (!cursor) {
            fail_at(0, 0, "cannot open", path);
        }
        next();
        while (kind != END) {
            declaration();
        }
    }
    for (i = 0; i < symbol_count; i++) {
        if ((symbols + i)->kind == FUNCTION && (symbols + i)->patches && !(symbols + i)->defined) {
            fail_at(0, 0, "called but not defined:", copy_text((symbols + i)->name, (symbols + i)->length));
        }
        if ((symbols + i)->length == 4 && same_bytes((symbols + i)->name, "main", 4) && (symbols + i)->defined) {
            write_number(text + main_call, (symbols + i)->value - main_call - 4, 4);
            main_call = 0;
        }
    }
    if (main_call) {
        fail_at(0, 0, "called but not defined:", "main");
    }
    write_program(argv[1]);
    return 0;
}
