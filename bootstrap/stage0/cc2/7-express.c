/* The parser of expressions: tokens to trees. */

struct name *function_name;     /* of the function being compiled, for __func__ */

void expect(long kind, char *what)
{
    if (token->kind != kind) {
        fail(join_text(join_text("expected ", what), ", found"), token_text(token));
    }
    next();
}

long accept(long kind)
{
    if (token->kind == kind) {
        next();
        return 1;
    }
    return 0;
}

/* ---- numbers ---- */

struct node *float_number(char *text, long length)
{
    long kind = DOUBLE;
    long last = text[length - 1] | 32;
    long hex = length > 1 && (text[1] | 32) == 'x';
    struct type *t = type_double;
    long i;
    if (last == 'l' || (last == 'f')) {
        length--;
        kind = LDOUBLE;
        t = type_ldouble;
        if (last == 'f') {
            kind = FLOAT;
            t = type_float;
        }
    }
    for (i = 2 * hex; i < length; i++) {
        last = text[i] | 32;
        if ((last == 'e' && !hex) || last == 'p') {
            if ((text[i + 1] == '+' || text[i + 1] == '-') && i + 2 < length) {
                i++;
            }
            hex = 0;
        } else if (!is_digit(text[i]) && text[i] != '.' && !(hex && hex_value(text[i]) < 16)) {
            fail("bad number", token_text(token));
        }
    }
    return real_constant(real_from_text(text, length, kind), t);
}

struct type *integer_type(long value, long is_decimal, long is_unsigned, long longs)
{
    long high = shift_right(value, 31);
    if (in_condition) {
        longs = 1;
    }
    if (!longs && high == 0 && !is_unsigned) {
        return type_int;
    }
    if (!longs && high < 2 && high >= 0 && (is_unsigned || !is_decimal)) {
        return type_unsigned;
    }
    if (is_unsigned || value < 0) {
        return type_unsigned_long;
    }
    return type_long;
}

struct node *number(void)
{
    char *p = token->text;
    char *end = p + token->length;
    char *q;
    long base = 10;
    long value = 0;
    long is_unsigned = 0;
    long longs = 0;
    long hex = token->length > 1 && *p == '0' && (p[1] | 32) == 'x';
    for (q = p; q < end; q++) {
        if (*q == '.' || (!hex && (*q | 32) == 'e') || (hex && (*q | 32) == 'p')) {
            return float_number(p, token->length);
        }
    }
    if (hex) {
        base = 16;
        p += 2;
    } else if (token->length > 1 && *p == '0' && (p[1] | 32) == 'b') {
        base = 2;
        p += 2;
    } else if (*p == '0') {
        base = 8;
    }
    while (p < end && hex_value(*p) < base) {
        value = value * base + hex_value(*p);
        p++;
    }
    while (p < end) {
        if ((*p | 32) == 'u' && !is_unsigned) {
            is_unsigned = 1;
        } else if ((*p | 32) == 'l' && longs < 2) {
            longs++;
        } else {
            fail("bad number", token_text(token));
        }
        p++;
    }
    return constant(value, integer_type(value, base == 10, is_unsigned, longs));
}

/* ---- characters and strings ---- */

char *text_cursor;              /* where read_character reads */

long is_octal(long c)
{
    return c >= '0' && c <= '7';
}

/* The character or escape sequence at text_cursor. */
long read_character(void)
{
    char *p = text_cursor;
    long c = *p;
    long value = 0;
    text_cursor = p + 1;
    if (c != '\\') {
        return c;
    }
    c = p[1];
    text_cursor = p + 2;
    switch (c) {
    case 'n': return 10;
    case 't': return 9;
    case 'r': return 13;
    case 'a': return 7;
    case 'b': return 8;
    case 'f': return 12;
    case 'v': return 11;
    case 'e': return 27;
    case 'x':
        while (hex_value(*text_cursor) < 16) {
            value = value * 16 + hex_value(*text_cursor);
            text_cursor++;
        }
        return value;
    }
    if (is_octal(c)) {
        text_cursor = p + 1;
        while (is_octal(*text_cursor) && text_cursor < p + 4) {
            value = value * 8 + *text_cursor - '0';
            text_cursor++;
        }
        return value;
    }
    if (is_letter(c) || is_digit(c)) {
        fail("unknown escape in", token_text(token));
    }
    return c;
}

/* A character of a wide constant: an escape, or UTF-8. */
long read_wide_character(void)
{
    long c;
    long more = 0;
    if (*text_cursor < 192) {
        return read_character();
    }
    c = read_character();
    if (c >= 240) {
        more = 3;
        c &= 7;
    } else if (c >= 224) {
        more = 2;
        c &= 15;
    } else {
        more = 1;
        c &= 31;
    }
    while (more && *text_cursor) {
        c = c << 6 | (*text_cursor & 63);
        text_cursor++;
        more--;
    }
    return c;
}

struct node *character(void)
{
    char *end = token->text + token->length - 1;
    long value = 0;
    long count = 0;
    if (*token->text == 'L') {
        text_cursor = token->text + 2;
        return constant(read_wide_character(), type_int);
    }
    text_cursor = token->text + 1;
    while (text_cursor < end) {
        value = value << 8 | (read_character() & 255);
        count++;
    }
    if (count == 0) {
        fail("empty character constant", 0);
    }
    if (count == 1) {
        value = wrap(value, type_char);
    }
    return constant(value, type_int);
}

/* The place of a string constant, or of several side by side. */
struct node *string_place(void)
{
    struct buffer *b = (struct buffer *)allocate(sizeof(struct buffer));
    struct object *o = new_object(0);
    long size = 1;
    struct type *t = type_char;
    char *end;
    char *wide = allocate(8);
    if (*token->text == 'L') {
        size = 4;
        t = type_int;
    }
    while (token->kind == STRING) {
        text_cursor = token->text + 1 + (*token->text == 'L');
        end = token->text + token->length - 1;
        while (text_cursor < end) {
            if (size == 1) {
                put_byte(b, read_character());
            } else {
                write_number(wide, read_wide_character(), 4);
                put_bytes(b, wide, 4);
            }
        }
        next();
    }
    put_bytes(b, allocate(8), size);
    o->defined = 1;
    o->align = size;
    o->size = b->length;
    o->data = b->data;
    return global_place(o, array_of(t, b->length / size));
}

struct node *function_name_place(void)
{
    struct object *o = new_object(0);
    if (!function_name) {
        fail("__func__ outside a function", 0);
    }
    next();
    o->defined = 1;
    o->align = 1;
    o->size = function_name->length + 1;
    o->data = function_name->text;
    return global_place(o, array_of(type_char, o->size));
}

/* ---- names and built-in functions ---- */

struct node *named(void)
{
    struct name *n = token->name;
    struct symbol *s = n->symbol;
    if (in_condition) {
        next();
        return constant(0, type_long);
    }
    if (!s) {
        fail("undeclared name", n->text);
    }
    next();
    switch (s->kind) {
    case SYMBOL_CONSTANT:
        return constant(s->value, s->type);
    case SYMBOL_LOCAL:
        return local_place(s->value, s->type);
    case SYMBOL_OBJECT:
        return global_place(s->object, s->type);
    }
    fail("a type stands where a value is needed:", n->text);
    return 0;
}

/* An argument of type va_list: the address of its struct. */
struct node *va_list_argument(void)
{
    struct node *n = value_of(assignment());
    if (n->type->kind != POINTER || n->type->base->kind != RECORD ||
        n->type->base->record != type_va_element->record) {
        fail("this is no va_list", 0);
    }
    return n;
}

struct node *built_in(void)
{
    long kind = token->kind;
    struct node *n;
    struct node *last;
    struct type *t;
    next();
    expect('(', "(");
    if (kind == K_VA_START) {
        n = new_node(N_VA_START, type_void, va_list_argument(), 0);
        expect(',', ",");
        assignment();
    } else if (kind == K_VA_ARG) {
        n = va_list_argument();
        expect(',', ",");
        t = type_name();
        if (size_of(t) < 0 || t->kind == VOID) {
            fail("va_arg of an incomplete type", 0);
        }
        n = new_node(N_VA_ARG, pointer_to(t), n, 0);
        if (t->kind == RECORD) {
            n->value = new_local(16, 8);
        }
        n = dereference(new_node(N_CAST, n->type, n, 0));   /* whose type may be changed */
    } else if (kind == K_VA_END) {
        n = convert(va_list_argument(), type_void);
    } else if (kind == K_VA_COPY) {
        n = va_list_argument();
        expect(',', ",");
        n = convert(assign(dereference(n), dereference(va_list_argument())), type_void);
    } else if (kind == K_SETJMP) {
        n = new_node(N_SETJMP, type_int, value_of(assignment()), 0);
    } else if (kind == K_LONGJMP) {
        n = new_node(N_LONGJMP, type_void, value_of(assignment()), 0);
        expect(',', ",");
        n->right = convert(assignment(), type_int);
    } else {
        /* __builtin_syscall(number, six arguments) */
        n = new_node(N_SYSCALL, type_long, 0, 0);
        n->right = convert(assignment(), type_long);
        last = n->right;
        while (accept(',')) {
            last->next = copy_node(convert(assignment(), type_long));
            last = last->next;
            n->value++;
        }
        if (n->value != 6) {
            fail("__builtin_syscall takes seven arguments", 0);
        }
    }
    expect(')', ")");
    return n;
}

struct node *primary(void)
{
    struct node *n;
    switch (token->kind) {
    case NUMBER:
        n = number();
        next();
        return n;
    case CHARACTER:
        n = character();
        next();
        return n;
    case STRING:
        return string_place();
    case NAME:
        return named();
    case K_FUNCTION_NAME:
        return function_name_place();
    case K_VA_START: case K_VA_ARG: case K_VA_END: case K_VA_COPY:
    case K_SYSCALL: case K_SETJMP: case K_LONGJMP:
        return built_in();
    case K_EXTENSION:
        next();
        return primary();
    case K_GENERIC:
        fail("refused: _Generic", 0);
    case '(':
        next();
        if (token->kind == '{') {
            fail("refused: a statement as an expression", 0);
        }
        n = expression();
        expect(')', ")");
        return n;
    }
    fail("expected an expression, found", token_text(token));
    return 0;
}

/* ---- calls ---- */

struct node *default_promotion(struct node *n)
{
    n = value_of(n);
    if (n->type->kind == FLOAT) {
        return convert(n, type_double);
    }
    if (is_integer(n->type)) {
        return convert(n, promoted(n));
    }
    if (n->type->kind == VOID || size_of(n->type) < 0) {
        fail("an argument has no value", 0);
    }
    return n;
}

struct node *call(struct node *function)
{
    struct type *t;
    struct parameter *p;
    struct node *n;
    struct node *argument;
    struct node *last = 0;
    function = value_of(function);
    if (function->type->kind != POINTER || function->type->base->kind != FUNCTION) {
        fail("only a function can be called", 0);
    }
    t = function->type->base;
    if (t->base->kind != VOID && size_of(t->base) < 0) {
        fail("the function's result has an incomplete type", 0);
    }
    n = new_node(N_CALL, t->base, function, 0);
    if (t->base->kind == RECORD) {
        n->value = new_local((size_of(t->base) + 7) & -8, 16);
    }
    p = t->parameters;
    expect('(', "(");
    while (token->kind != ')') {
        argument = assignment();
        if (p) {
            argument = assign_convert(argument, p->type, "an argument");
            p = p->next;
        } else if (t->variadic || t->unknown) {
            argument = default_promotion(argument);
        } else {
            fail("too many arguments in a call", 0);
        }
        argument = copy_node(argument);
        argument->next = 0;
        if (last) {
            last->next = argument;
        } else {
            n->right = argument;
        }
        last = argument;
        if (token->kind != ')') {
            expect(',', ", or )");
        }
    }
    next();
    if (p) {
        fail("too few arguments in a call", 0);
    }
    return n;
}

/* ---- places that are read and written ---- */

/* True if n can be evaluated twice at little cost. */
long is_cheap_place(struct node *n)
{
    if (n->op == N_DEREF) {
        return n->left->op == N_LOCAL || n->left->op == N_GLOBAL || n->left->op == N_CONSTANT ||
               (n->left->op == N_DEREF && is_cheap_place(n->left));
    }
    return n->op == N_LOCAL || n->op == N_GLOBAL;
}

/* A place of the same meaning as `place` that is cheap; *before is set to what must be
 * evaluated first, or 0. */
struct node *cheap_place(struct node *place, struct node **before)
{
    struct node *pointer;
    struct node *cheap;
    *before = 0;
    if (!is_place(place)) {
        fail("cannot assign to this", 0);
    }
    if (is_cheap_place(place)) {
        return place;
    }
    pointer = local_place(new_local(8, 8), pointer_to(type_void));
    *before = assign(pointer, with_type(place->left, pointer->type));
    cheap = copy_node(place);
    cheap->left = pointer;
    return cheap;
}

struct node *after(struct node *before, struct node *n)
{
    if (before) {
        return comma(before, n);
    }
    return n;
}

/* place op= value */
struct node *update(long op, struct node *place, struct node *value)
{
    struct node *before;
    place = cheap_place(place, &before);
    return after(before, assign(place, binary(op, place, value)));
}

/* place++ or place--: its old value */
struct node *step_after(long op, struct node *place)
{
    struct node *one = constant(1, type_int);
    struct node *before;
    struct node *old;
    struct type *t = place->type;
    if (place->bit_width < 0 && (t->kind == POINTER || (is_integer(t) && t->kind != BOOL))) {
        return convert(binary(N_ADD + N_SUB - op, update(op, place, one), one), t);
    }
    place = cheap_place(place, &before);
    old = local_place(new_local(16, 16), t);
    one = comma(assign(old, place), comma(assign(place, binary(op, place, one)), old));
    return after(before, convert(one, t));
}

/* ---- operators ---- */

struct node *postfix_of(struct node *n)
{
    while (1) {
        switch (token->kind) {
        case '[':
            next();
            n = dereference(binary(N_ADD, n, expression()));
            expect(']', "]");
            break;
        case '(':
            n = call(n);
            break;
        case '.':
        case ARROW:
            if (token->kind == ARROW) {
                n = dereference(n);
            }
            next();
            if (token->kind != NAME) {
                fail("expected a member's name, found", token_text(token));
            }
            n = member_of(n, token->name);
            next();
            break;
        case INCREMENT:
            next();
            n = step_after(N_ADD, n);
            break;
        case DECREMENT:
            next();
            n = step_after(N_SUB, n);
            break;
        default:
            return n;
        }
    }
}

struct node *cast_expression(void);
struct node *unary_expression(void);
long token_starts_type(struct token *t);

/* sizeof, _Alignof: of a type in brackets or an expression */
struct node *size_expression(long is_size)
{
    struct type *t;
    struct node *n;
    if (token->kind == '(' && token_starts_type(peek())) {
        next();
        t = type_name();
        expect(')', ")");
        if (token->kind == '{') {
            n = postfix_of(compound_literal(t));
            t = n->type;
        }
    } else {
        n = unary_expression();
        if (n->bit_width >= 0) {
            fail("sizeof of a bit-field", 0);
        }
        t = n->type;
    }
    if (size_of(t) < 0) {
        fail("sizeof of an incomplete type", 0);
    }
    if (is_size) {
        return constant(size_of(t), type_unsigned_long);
    }
    return constant(align_of(t), type_unsigned_long);
}

struct node *unary_expression(void)
{
    long kind = token->kind;
    struct node *n;
    switch (kind) {
    case INCREMENT:
        next();
        return update(N_ADD, unary_expression(), constant(1, type_int));
    case DECREMENT:
        next();
        return update(N_SUB, unary_expression(), constant(1, type_int));
    case '&':
        next();
        n = cast_expression();
        return address_of(n);
    case '*':
        next();
        return dereference(cast_expression());
    case '+':
        next();
        n = value_of(cast_expression());
        if (!is_arithmetic(n->type)) {
            fail("operand of the wrong type", 0);
        }
        n = convert(n, promoted(n));
        if (is_place(n)) {
            return new_node(N_CAST, n->type, n, 0);
        }
        return n;
    case '-':
        next();
        return unary(N_NEGATE, cast_expression());
    case '~':
        next();
        return unary(N_COMPLEMENT, cast_expression());
    case '!':
        next();
        return unary(N_NOT, cast_expression());
    case K_SIZEOF:
        next();
        return size_expression(1);
    case K_ALIGNOF:
        next();
        return size_expression(0);
    case K_EXTENSION:
        next();
        return cast_expression();
    case AND_AND:
        fail("refused: the address of a label", 0);
    }
    return postfix_of(primary());
}

struct node *cast_expression(void)
{
    struct type *t;
    if (token->kind == '(' && token_starts_type(peek())) {
        next();
        t = type_name();
        expect(')', ")");
        if (token->kind == '{') {
            return postfix_of(compound_literal(t));
        }
        return convert(cast_expression(), t);
    }
    return unary_expression();
}

/* The precedence of a binary operator, 10 for the strongest; 0 for other tokens. */
long precedence(long kind)
{
    switch (kind) {
    case '*': case '/': case '%': return 10;
    case '+': case '-': return 9;
    case SHIFT_LEFT: case SHIFT_RIGHT: return 8;
    case '<': case '>': case LESS_EQUAL: case GREATER_EQUAL: return 7;
    case EQUAL: case NOT_EQUAL: return 6;
    case '&': return 5;
    case '^': return 4;
    case '|': return 3;
    case AND_AND: return 2;
    case OR_OR: return 1;
    }
    return 0;
}

long operation(long kind)
{
    switch (kind) {
    case '*': case MUL_ASSIGN: return N_MUL;
    case '/': case DIV_ASSIGN: return N_DIV;
    case '%': case MOD_ASSIGN: return N_MOD;
    case '+': case ADD_ASSIGN: return N_ADD;
    case '-': case SUB_ASSIGN: return N_SUB;
    case SHIFT_LEFT: case LEFT_ASSIGN: return N_LEFT;
    case SHIFT_RIGHT: case RIGHT_ASSIGN: return N_RIGHT;
    case '&': case AND_ASSIGN: return N_AND;
    case '^': case XOR_ASSIGN: return N_XOR;
    case '|': case OR_ASSIGN: return N_OR;
    case '<': return N_LESS;
    case '>': return N_GREATER;
    case LESS_EQUAL: return N_LESS_EQUAL;
    case GREATER_EQUAL: return N_GREATER_EQUAL;
    case EQUAL: return N_EQUAL;
    case NOT_EQUAL: return N_NOT_EQUAL;
    case AND_AND: return N_BOTH;
    case OR_OR: return N_EITHER;
    }
    return 0;
}

/* Operators of at least the given precedence, after their first operand. */
struct node *binary_expression(struct node *left, long least)
{
    struct node *right;
    long kind;
    while (precedence(token->kind) >= least) {
        kind = token->kind;
        next();
        right = cast_expression();
        while (precedence(token->kind) > precedence(kind)) {
            right = binary_expression(right, precedence(kind) + 1);
        }
        if (kind == AND_AND || kind == OR_OR) {
            left = logical(operation(kind), left, right);
        } else {
            left = binary(operation(kind), left, right);
        }
    }
    return left;
}

struct node *conditional_after(struct node *n)
{
    struct node *left;
    n = binary_expression(n, 1);
    if (accept('?')) {
        if (token->kind == ':') {
            fail("refused: ?: without a middle operand", 0);
        }
        left = expression();
        expect(':', ":");
        n = choose(n, left, conditional());
    }
    return n;
}

struct node *conditional(void)
{
    return conditional_after(cast_expression());
}

struct node *assignment(void)
{
    struct node *n = conditional();
    long kind = token->kind;
    if (kind == '=') {
        next();
        return assign(n, assignment());
    }
    if (kind >= ADD_ASSIGN && kind <= RIGHT_ASSIGN) {
        next();
        return update(operation(kind), n, assignment());
    }
    return n;
}

struct node *expression(void)
{
    struct node *n = assignment();
    while (accept(',')) {
        n = comma(n, assignment());
    }
    return n;
}

long constant_expression(void)
{
    struct node *n = value_of(conditional());
    if (n->op != N_CONSTANT) {
        fail("expected an integer constant expression", 0);
    }
    return n->value;
}

/* The condition of an #if. */
long preprocessor_condition(void)
{
    return constant_expression();
}
