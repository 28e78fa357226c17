/* Declarations: specifiers, declarators, structs, scopes, initialisers. */

struct specifiers {
    struct type *type;
    long storage;               /* K_TYPEDEF, K_EXTERN, K_STATIC or 0 */
    long is_inline;
    long align;
};

long level;                     /* depth of scopes; 0: file */
struct symbol *last_symbol;

/* ---- scopes ---- */

void enter_scope(void)
{
    level++;
}

void forget_symbols(long deepest)
{
    while (last_symbol && last_symbol->level > deepest) {
        if (last_symbol->kind == SYMBOL_TAG) {
            last_symbol->name->tag = last_symbol->outer;
        } else {
            last_symbol->name->symbol = last_symbol->outer;
        }
        last_symbol = last_symbol->previous;
    }
}

void leave_scope(void)
{
    level--;
    forget_symbols(level);
}

/* At the end of a source file its names go, but for the objects they stood for; only now
 * the types of variables are sure to be complete. */
void leave_file_scope(void)
{
    struct symbol *s;
    long size;
    for (s = last_symbol; s; s = s->previous) {
        if (s->kind == SYMBOL_OBJECT && s->object->tentative) {
            size = size_of(s->type);
            if (size < 0 && s->type->kind == ARRAY) {
                size = size_of(s->type->base);
            }
            if (size < 0) {
                fail("a variable of incomplete type:", s->name->text);
            }
            if (size > s->object->size) {
                s->object->size = size;
            }
            if (align_of(s->type) > s->object->align) {
                s->object->align = align_of(s->type);
            }
        }
    }
    forget_symbols(-1);
}

struct symbol *declare(long kind, struct name *name, struct type *t)
{
    struct symbol *s = (struct symbol *)allocate(sizeof(struct symbol));
    s->kind = kind;
    s->name = name;
    s->type = t;
    s->level = level;
    s->previous = last_symbol;
    last_symbol = s;
    if (kind == SYMBOL_TAG) {
        s->outer = name->tag;
        name->tag = s;
    } else {
        s->outer = name->symbol;
        name->symbol = s;
    }
    return s;
}

/* ---- attributes ---- */

long attribute_packed;          /* set by attributes(); the caller clears them before */
long attribute_align;

long is_name(struct name *n, char *text)
{
    return same_text(n->text, text) || same_text(n->text, join_text(join_text("__", text), "__"));
}

void skip_brackets(void)
{
    long depth_of_brackets = 0;
    expect('(', "(");
    while (token->kind != ')' || depth_of_brackets) {
        if (token->kind == END) {
            fail("brackets without end", 0);
        }
        depth_of_brackets += (token->kind == '(') - (token->kind == ')');
        next();
    }
    next();
}

/* Attributes that change what a program does, and that we do not have. */
void refuse_attribute(struct name *n)
{
    if (is_name(n, "alias") || is_name(n, "weak") || is_name(n, "section") || is_name(n, "constructor") ||
        is_name(n, "destructor") || is_name(n, "cleanup") || is_name(n, "vector_size") ||
        is_name(n, "mode") || is_name(n, "ms_struct") || is_name(n, "transparent_union")) {
        fail("refused: attribute", n->text);
    }
}

void attributes(void)
{
    struct name *n;
    while (token->kind == K_ATTRIBUTE) {
        next();
        expect('(', "(");
        expect('(', "(");
        while (token->kind != ')') {
            n = token->name;
            if (token->kind != ',') {
                if (!n) {
                    fail("bad attribute", token_text(token));
                }
                refuse_attribute(n);
                next();
                if (is_name(n, "packed")) {
                    attribute_packed = 1;
                } else if (is_name(n, "aligned")) {
                    attribute_align = 16;
                    if (accept('(')) {
                        attribute_align = constant_expression();
                        expect(')', ")");
                    }
                } else if (token->kind == '(') {
                    skip_brackets();
                }
            } else {
                next();
            }
        }
        next();
        expect(')', ")");
    }
    if (attribute_align > 16 || attribute_align & (attribute_align - 1)) {
        fail("refused: alignment above 16, or no power of two", 0);
    }
}

/* ---- structs and unions ---- */

struct type *declarator(struct type *base, struct name **name);
struct specifiers *specifiers(void);

long position;                  /* in bits, of the next member of the struct being laid out */

/* Lay out one member; position is where the last one ended. */
struct member *place_member(struct record *r, struct name *name, struct type *t, long width, long packed)
{
    struct member *m = (struct member *)allocate(sizeof(struct member));
    long unit = size_of(t) * 8;
    long align = align_of(t);
    if (packed && !t->align) {
        align = 1;
    }
    m->name = name;
    m->type = t;
    m->bit_width = width;
    if (r->is_union) {
        position = 0;
    }
    if (width < 0) {
        position = (position + align * 8 - 1) & -(align * 8);
        m->offset = position / 8;
        if (unit > 0) {
            position += unit;
        }
    } else {
        if (width == 0 || position / unit != (position + width - 1) / unit) {
            position = (position + unit - 1) & -unit;
        }
        m->offset = position / unit * unit / 8;
        m->bit_offset = position % unit;
        position += width;
    }
    if ((name || width < 0) && align > r->align) {
        r->align = align;
    }
    if ((position + 7) / 8 > r->size) {
        r->size = (position + 7) / 8;
    }
    return m;
}

long bit_field_width(struct type *t, struct name *name, long packed)
{
    long width = constant_expression();
    if (!is_integer(t)) {
        fail("a bit-field must be an integer", 0);
    }
    if (packed) {
        fail("refused: a bit-field in a packed struct", 0);
    }
    if (width < 0 || width > size_of(t) * 8 || (width == 0 && name)) {
        fail("bad width of a bit-field", 0);
    }
    return width;
}

struct member *last_member;

void append_member(struct record *r, struct member *m)
{
    if (last_member) {
        last_member->next = m;
    } else {
        r->members = m;
    }
    last_member = m;
}

/* One member's declarator, after its specifiers. */
void member_declarator(struct record *r, struct specifiers *s, long packed)
{
    struct name *name = 0;
    struct type *t = s->type;
    struct member *m;
    long width = -1;
    long zero = 0;
    if (token->kind != ':') {
        t = declarator(t, &name);
    }
    if (t->kind == FUNCTION || t->kind == VOID || (size_of(t) < 0 && t->kind != ARRAY)) {
        fail("a member has an incomplete type", 0);
    }
    if (accept(':')) {
        width = bit_field_width(t, name, packed);
    }
    attribute_align = s->align;
    attribute_packed = packed;
    attributes();
    if (attribute_align) {
        t = copy_type(t);
        t->align = attribute_align;
    }
    if (name && find_member(r, name, &zero)) {
        fail("two members of the name", name->text);
    }
    r->flexible = t->kind == ARRAY && t->count < 0;
    m = place_member(r, name, t, width, attribute_packed);
    append_member(r, m);
}

void record_members(struct record *r, long packed)
{
    struct specifiers *s;
    struct member *outer_last = last_member;
    struct member *mine;
    long outer_position = position;
    long my_position = 0;
    last_member = 0;
    mine = 0;
    while (token->kind != '}') {
        position = my_position;
        last_member = mine;
        if (accept(';')) {
            continue;
        }
        s = specifiers();
        position = my_position;
        last_member = mine;
        if (s->storage) {
            fail("a member cannot have a storage class", 0);
        }
        if (token->kind == ';') {
            if (s->type->kind == RECORD && (!s->type->record->tag)) {
                append_member(r, place_member(r, 0, s->type, -1, packed));
            }
        } else {
            member_declarator(r, s, packed);
            while (accept(',')) {
                member_declarator(r, s, packed);
            }
        }
        my_position = position;
        mine = last_member;
        expect(';', ";");
    }
    next();
    last_member = outer_last;
    position = outer_position;
}

/* Lay the members out again, for a `packed` that stands behind them. */
void pack_again(struct record *r)
{
    struct member *m;
    struct member *placed;
    position = 0;
    r->size = 0;
    r->align = 1;
    for (m = r->members; m; m = m->next) {
        if (m->bit_width >= 0) {
            fail("refused: a bit-field in a packed struct", 0);
        }
        placed = place_member(r, m->name, m->type, -1, 1);
        m->offset = placed->offset;
    }
}

struct type *record_specifier(long kind)
{
    struct name *tag = 0;
    struct symbol *s = 0;
    struct type *t;
    struct record *r;
    long packed;
    long align;
    next();
    attribute_packed = 0;
    attribute_align = 0;
    attributes();
    packed = attribute_packed;
    align = attribute_align;
    if (token->kind == NAME) {
        tag = token->name;
        s = tag->tag;
        next();
        if (s && s->level < level && (token->kind == '{' || token->kind == ';')) {
            s = 0;                      /* a new one, in this scope */
        }
        if (s && s->tag_kind != kind) {
            fail("declared as another kind of tag:", tag->text);
        }
    } else if (token->kind != '{') {
        fail("expected a tag or {, found", token_text(token));
    }
    if (s) {
        t = s->type;
    } else {
        t = new_type(RECORD);
        t->record = (struct record *)allocate(sizeof(struct record));
        t->record->tag = tag;
        t->record->is_union = kind == K_UNION;
        t->record->align = 1;
        if (tag) {
            s = declare(SYMBOL_TAG, tag, t);
            s->tag_kind = kind;
        }
    }
    if (token->kind != '{') {
        return t;
    }
    r = t->record;
    if (r->complete) {
        fail("defined before:", token_text(token));
    }
    next();
    record_members(r, packed);
    attribute_packed = 0;
    attribute_align = align;
    attributes();
    if (attribute_packed && !packed) {
        pack_again(r);
    }
    if (attribute_align > r->align) {
        r->align = attribute_align;
    }
    attribute_align = 0;
    attribute_packed = 0;
    r->size = (r->size + r->align - 1) & -r->align;
    r->complete = 1;
    return t;
}

/* ---- enums ---- */

struct type *enum_specifier(void)
{
    struct name *tag = 0;
    struct symbol *s = 0;
    struct symbol *item;
    struct name *name;
    struct type *t = 0;
    long value = 0;
    long negative = 0;
    next();
    attributes();
    if (token->kind == NAME) {
        tag = token->name;
        next();
        s = tag->tag;
        if (s && s->level < level && token->kind == '{') {
            s = 0;
        }
        if (s && s->tag_kind != K_ENUM) {
            fail("declared as another kind of tag:", tag->text);
        }
    }
    if (s) {
        t = s->type;
    } else {
        t = new_unsigned(INT);
        t->plain = 1;
        if (tag) {
            s = declare(SYMBOL_TAG, tag, t);
            s->tag_kind = K_ENUM;
        }
    }
    if (!accept('{')) {
        if (!tag) {
            fail("expected a tag or {, found", token_text(token));
        }
        return t;
    }
    while (token->kind != '}') {
        if (token->kind != NAME) {
            fail("expected a name, found", token_text(token));
        }
        name = token->name;
        next();
        if (accept('=')) {
            value = constant_expression();
        }
        negative |= value < 0;
        item = declare(SYMBOL_CONSTANT, name, type_int);
        if (!fits_word(value)) {
            item->type = type_long;
            t->kind = LONG;
        }
        item->value = value;
        value++;
        if (token->kind != '}') {
            expect(',', ", or }");
        }
    }
    next();
    t->is_unsigned = !negative;
    attributes();
    return t;
}

/* ---- specifiers ---- */

long token_starts_type(struct token *t)
{
    switch (t->kind) {
    case NAME:
        return t->name->symbol && t->name->symbol->kind == SYMBOL_TYPEDEF;
    case K_AUTO: case K_CHAR: case K_CONST: case K_DOUBLE: case K_ENUM: case K_EXTERN:
    case K_FLOAT: case K_INLINE: case K_INT: case K_LONG: case K_REGISTER: case K_RESTRICT:
    case K_SHORT: case K_SIGNED: case K_STATIC: case K_STRUCT: case K_TYPEDEF: case K_UNION:
    case K_UNSIGNED: case K_VOID: case K_VOLATILE: case K_BOOL: case K_ATTRIBUTE:
    case K_TYPEOF: case K_NORETURN: case K_ALIGNAS: case K_COMPLEX: case K_THREAD:
    case K_STATIC_ASSERT:
        return 1;
    }
    return 0;
}

long starts_type(void)
{
    return token_starts_type(token) && !(token->kind == NAME && peek()->kind == ':');
}

struct type *typeof_specifier(void)
{
    struct type *t;
    next();
    expect('(', "(");
    if (token_starts_type(token)) {
        t = type_name();
    } else {
        t = expression()->type;
    }
    expect(')', ")");
    return t;
}

/* The type that a set of key words stands for. */
struct type *basic_type(long base, long sign, long longs, long is_short)
{
    struct type *signed_type = type_int;
    struct type *unsigned_type = type_unsigned;
    if (base == K_VOID && !sign && !longs && !is_short) {
        return type_void;
    }
    if (base == K_BOOL && !sign && !longs && !is_short) {
        return type_bool;
    }
    if (base == K_FLOAT && !sign && !longs && !is_short) {
        return type_float;
    }
    if (base == K_DOUBLE && !sign && longs < 2 && !is_short) {
        if (longs) {
            return type_ldouble;
        }
        return type_double;
    }
    if (base == K_CHAR && !longs && !is_short) {
        if (!sign) {
            return type_char;
        }
        signed_type = type_signed_char;
        unsigned_type = type_unsigned_char;
    } else if ((base && base != K_INT) || longs > 2 || (longs && is_short)) {
        fail("these words make no type", 0);
    } else if (longs) {
        signed_type = type_long;
        unsigned_type = type_unsigned_long;
    } else if (is_short) {
        signed_type = type_short;
        unsigned_type = type_unsigned_short;
    }
    if (sign == K_UNSIGNED) {
        return unsigned_type;
    }
    return signed_type;
}

void set_storage(struct specifiers *s)
{
    if (s->storage) {
        fail("two storage classes", 0);
    }
    s->storage = token->kind;
}

void alignas_specifier(struct specifiers *s)
{
    struct type *t;
    next();
    expect('(', "(");
    if (token_starts_type(token)) {
        t = type_name();
        attribute_align = align_of(t);
    } else {
        attribute_align = constant_expression();
    }
    expect(')', ")");
    s->align = attribute_align;
}

struct specifiers *specifiers(void)
{
    struct specifiers *s = (struct specifiers *)allocate(sizeof(struct specifiers));
    long base = 0;
    long sign = 0;
    long longs = 0;
    long is_short = 0;
    long words = 0;
    attribute_align = 0;
    while (1) {
        switch (token->kind) {
        case K_TYPEDEF: case K_EXTERN: case K_STATIC:
            set_storage(s);
            next();
            break;
        case K_AUTO: case K_REGISTER: case K_CONST: case K_VOLATILE: case K_RESTRICT:
        case K_NORETURN: case K_EXTENSION:
            next();
            break;
        case K_INLINE:
            s->is_inline = 1;
            next();
            break;
        case K_ATTRIBUTE:
            attributes();
            if (attribute_align) {
                s->align = attribute_align;
            }
            break;
        case K_ALIGNAS:
            alignas_specifier(s);
            break;
        case K_SIGNED: case K_UNSIGNED:
            if (sign) {
                fail("these words make no type", 0);
            }
            sign = token->kind;
            words++;
            next();
            break;
        case K_LONG:
            longs++;
            words++;
            next();
            break;
        case K_SHORT:
            is_short++;
            words++;
            next();
            break;
        case K_VOID: case K_CHAR: case K_INT: case K_FLOAT: case K_DOUBLE: case K_BOOL:
            if (base) {
                fail("these words make no type", 0);
            }
            base = token->kind;
            words++;
            next();
            break;
        case K_STRUCT: case K_UNION: case K_ENUM: case K_TYPEOF:
            if (words || s->type) {
                fail("these words make no type", 0);
            }
            if (token->kind == K_TYPEOF) {
                s->type = typeof_specifier();
            } else if (token->kind == K_ENUM) {
                s->type = enum_specifier();
            } else {
                s->type = record_specifier(token->kind);
            }
            attribute_align = 0;
            break;
        case K_COMPLEX:
            fail("refused: _Complex", 0);
        case K_THREAD:
            fail("refused: thread-local storage", 0);
        default:
            if (token->kind == NAME && !words && !s->type && token_starts_type(token)) {
                s->type = token->name->symbol->type;
                next();
            } else {
                if (words && s->type) {
                    fail("these words make no type", 0);
                }
                if (!words && !s->type) {
                    fail("expected a type, found", token_text(token));
                }
                if (words) {
                    s->type = basic_type(base, sign, longs, is_short);
                }
                return s;
            }
        }
    }
}

/* ---- declarators ---- */

void qualifiers(void)
{
    while (token->kind == K_CONST || token->kind == K_VOLATILE || token->kind == K_RESTRICT ||
           token->kind == K_ATTRIBUTE) {
        if (token->kind == K_ATTRIBUTE) {
            attributes();
        } else {
            next();
        }
    }
}

/* A parameter's type: arrays and functions become pointers. */
struct type *parameter_type(struct type *t)
{
    if (t->kind == ARRAY) {
        return pointer_to(t->base);
    }
    if (t->kind == FUNCTION) {
        return pointer_to(t);
    }
    return t;
}

/* The parameters, after the '(' and up to the ')'. */
struct type *function_of(struct type *result)
{
    struct type *t = new_type(FUNCTION);
    struct parameter *p;
    struct parameter *last = 0;
    struct specifiers *s;
    t->base = result;
    if (result->kind == ARRAY || result->kind == FUNCTION) {
        fail("a function cannot give an array or a function", 0);
    }
    if (accept(')')) {
        t->unknown = 1;
        return t;
    }
    if (token->kind == NAME && !token_starts_type(token)) {
        fail("refused: parameters without types, or an undeclared type:", token->name->text);
    }
    enter_scope();
    while (1) {
        if (accept(ELLIPSIS)) {
            t->variadic = 1;
            break;
        }
        s = specifiers();
        p = (struct parameter *)allocate(sizeof(struct parameter));
        p->type = parameter_type(declarator(s->type, &p->name));
        attributes();
        if (p->type->kind == VOID) {
            if (p->name || last || token->kind != ')') {
                fail("a parameter is void", 0);
            }
            break;
        }
        if (last) {
            last->next = p;
        } else {
            t->parameters = p;
        }
        last = p;
        if (!accept(',')) {
            break;
        }
    }
    leave_scope();
    expect(')', ")");
    return t;
}

/* [size] and (parameters) behind a declarator. */
struct type *declarator_suffix(struct type *base)
{
    long count = -1;
    struct node *n;
    if (accept('(')) {
        return function_of(base);
    }
    if (accept('[')) {
        while (token->kind == K_STATIC || token->kind == K_CONST || token->kind == K_RESTRICT ||
               token->kind == K_VOLATILE) {
            next();
        }
        if (token->kind == '*' && peek()->kind == ']') {
            next();                     /* of a parameter: any size */
        }
        if (token->kind != ']') {
            n = value_of(assignment());
            if (n->op != N_CONSTANT) {
                fail("refused: an array whose size is no constant", 0);
            }
            count = n->value;
            if (count < 0) {
                fail("an array of negative size", 0);
            }
        }
        expect(']', "]");
        base = declarator_suffix(base);
        if (base->kind == FUNCTION || base->kind == VOID || size_of(base) < 0) {
            fail("an array of an incomplete type", 0);
        }
        return array_of(base, count);
    }
    return base;
}

/* A declarator, with or without a name. */
struct type *declarator(struct type *base, struct name **name)
{
    struct type *inner;
    struct type *t;
    struct token *after_open;
    while (token->kind == '*' || token->kind == K_ATTRIBUTE) {
        if (accept('*')) {
            base = pointer_to(base);
        }
        qualifiers();
    }
    if (token->kind == '(') {
        after_open = peek();
        if (after_open->kind != ')' && (!token_starts_type(after_open) || after_open->kind == K_ATTRIBUTE)) {
            /* brackets around a declarator: what follows them applies first */
            next();
            attributes();
            inner = new_type(CHAR);
            t = declarator(inner, name);
            expect(')', ")");
            base = declarator_suffix(base);
            copy_bytes((char *)inner, (char *)base, sizeof(struct type));
            return t;
        }
    } else if (token->kind == NAME) {
        *name = token->name;
        next();
    }
    return declarator_suffix(base);
}

struct type *type_name(void)
{
    struct specifiers *s = specifiers();
    struct name *name = 0;
    struct type *t;
    if (s->storage) {
        fail("a type's name with a storage class", 0);
    }
    t = declarator(s->type, &name);
    if (name) {
        fail("a type's name declares", name->text);
    }
    return t;
}

/* ---- initialisers ---- */

struct element *first_element;
struct element *last_element;
struct node *pending;           /* an expression that was read, not yet placed */

void add_element(long offset, struct type *t, struct member *m, struct node *value)
{
    struct element *e = (struct element *)allocate(sizeof(struct element));
    e->offset = offset;
    e->type = t;
    e->bit_width = -1;
    if (m) {
        e->bit_width = m->bit_width;
        e->bit_offset = m->bit_offset;
    }
    e->value = assign_convert(value, t, "an initialiser");
    if (last_element) {
        last_element->next = e;
    } else {
        first_element = e;
    }
    last_element = e;
}

struct node *take_value(void)
{
    struct node *n = pending;
    if (n) {
        pending = 0;
        return n;
    }
    return assignment();
}

/* A type for `size` bytes that are copied as a whole. */
struct type *bytes_type(long size)
{
    struct type *t = new_type(RECORD);
    t->record = (struct record *)allocate(sizeof(struct record));
    t->record->size = size;
    t->record->align = 1;
    t->record->complete = 1;
    return t;
}

/* True if a string comes next that can fill an array of type t. */
long is_string_for(struct type *t)
{
    if (t->kind != ARRAY) {
        return 0;
    }
    if (pending) {
        return pending->op == N_GLOBAL && !pending->object->name && pending->type->kind == ARRAY &&
               pending->type->base->kind == t->base->kind;
    }
    if (token->kind != STRING) {
        return 0;
    }
    if (*token->text == 'L') {
        return t->base->kind == INT;
    }
    return t->base->kind == CHAR;
}

/* Fill an array with a string; give the number of elements. */
long string_initialiser(struct type *t, long offset)
{
    struct node *n = pending;
    long count;
    long room = t->count;
    long bytes;
    if (!n) {
        n = string_place();
    }
    pending = 0;
    count = n->type->count;
    if (room < 0) {
        room = count;
    }
    if (count - 1 > room) {
        fail("the string is too long for its array", 0);
    }
    bytes = count;
    if (bytes > room) {
        bytes = room;
    }
    n->type = bytes_type(bytes * size_of(t->base));
    if (bytes) {
        add_element(offset, n->type, 0, n);
    }
    return room;
}

long list_initialiser(struct type *t, long offset, long braced, long designated);

/* The initialiser of one object; gives the number of elements if it is an array. */
long initialiser(struct type *t, long offset, struct member *m)
{
    long count;
    if (is_string_for(t)) {
        return string_initialiser(t, offset);
    }
    if (token->kind == '{' && !pending) {
        next();
        if (is_string_for(t)) {
            count = string_initialiser(t, offset);
            accept(',');
            expect('}', "}");
            return count;
        }
        if (t->kind == ARRAY || t->kind == RECORD) {
            return list_initialiser(t, offset, 1, 0);
        }
        initialiser(t, offset, m);
        accept(',');
        expect('}', "}");
        return 1;
    }
    if (t->kind == ARRAY || t->kind == RECORD) {
        if (!pending) {
            pending = assignment();
        }
        if (t->kind == RECORD && pending->type->kind == RECORD && pending->type->record == t->record) {
            add_element(offset, t, 0, take_value());
            return 1;
        }
        return list_initialiser(t, offset, 0, 0);
    }
    add_element(offset, t, m, take_value());
    return 1;
}

struct member *next_named(struct member *m)
{
    while (m && m->bit_width >= 0 && !m->name) {
        m = m->next;
    }
    return m;
}

/* The member of r itself that is, or holds, the one of that name. */
struct member *holding_member(struct record *r, struct name *name)
{
    struct member *m;
    long zero;
    for (m = r->members; m; m = m->next) {
        if (m->name == name) {
            return m;
        }
        if (!m->name && m->type->kind == RECORD && find_member(m->type->record, name, &zero)) {
            return m;
        }
    }
    fail("no such member", name->text);
    return 0;
}

/* True at the end of a list without braces of its own: what comes next is not for it. */
long list_ends(void)
{
    struct token *t;
    if (token->kind != ',') {
        return 1;
    }
    t = peek();
    return t->kind == '}' || t->kind == '.' || t->kind == '[';
}

long range_end;                 /* of a designator [first ... last] */

long index_designator(struct type *t)
{
    long index;
    next();
    index = constant_expression();
    range_end = index;
    if (accept(ELLIPSIS)) {
        range_end = constant_expression();
    }
    expect(']', "]");
    if (index < 0 || range_end < index || (t->count >= 0 && range_end >= t->count)) {
        fail("an index outside the array", 0);
    }
    return index;
}

/* Repeat the elements after `before` for the rest of a range of indices. */
void repeat_elements(struct element *before, long times, long size)
{
    struct element *e = first_element;
    struct element *end = last_element;
    struct element *copy;
    long i;
    if (before) {
        e = before->next;
    }
    for (; times > 0; times--) {
        before = e;
        i = 1;
        while (i) {
            copy = (struct element *)allocate(sizeof(struct element));
            copy_bytes((char *)copy, (char *)before, sizeof(struct element));
            copy->offset += size * times;
            copy->next = 0;
            last_element->next = copy;
            last_element = copy;
            i = before != end;
            before = before->next;
        }
    }
}

/* The items of an array or struct: in braces, or as part of an outer list. With
 * `designated`, the first token is a designator even so. */
long list_initialiser(struct type *t, long offset, long braced, long designated)
{
    struct member *m = 0;
    struct element *before;
    struct type *item = t->base;
    long index = 0;
    long last;
    long largest = 0;
    long place;
    if (t->kind == RECORD) {
        m = next_named(t->record->members);
    }
    while (!braced || token->kind != '}') {
        last = index;
        if ((braced || designated) && !pending && t->kind == ARRAY && token->kind == '[') {
            index = index_designator(t);
            last = range_end;
            designated = 1;
        } else if ((braced || designated) && !pending && t->kind == RECORD && token->kind == '.') {
            if (peek()->kind != NAME) {
                fail("expected a member's name after .", 0);
            }
            m = holding_member(t->record, peek()->name);
            if (m->name) {
                next();
                next();
            }
            designated = 1;
        } else {
            designated = 0;
        }
        if (t->kind == RECORD) {
            if (!m) {
                if (!braced) {
                    break;
                }
                fail("too many initialisers", 0);
            }
            item = m->type;
            place = offset + m->offset;
        } else {
            if (t->count >= 0 && index >= t->count) {
                if (!braced) {
                    break;
                }
                fail("too many initialisers", 0);
            }
            place = offset + index * size_of(item);
        }
        before = last_element;
        if (designated && (token->kind == '.' || token->kind == '[')) {
            list_initialiser(item, place, 0, 1);
        } else {
            if (designated) {
                accept('=');
            }
            initialiser(item, place, m);
        }
        designated = 0;
        if (t->kind == ARRAY) {
            index++;
            if (last >= index) {
                repeat_elements(before, last - index + 1, size_of(item));
                index = last + 1;
            }
            if (index > largest) {
                largest = index;
            }
        } else if (t->record->is_union) {
            m = 0;
        } else {
            m = next_named(m->next);
        }
        if (braced) {
            if (token->kind != '}') {
                expect(',', ", or }");
            }
        } else if (pending || list_ends() || (t->kind == RECORD && !m) ||
                   (t->kind == ARRAY && t->count >= 0 && index >= t->count)) {
            return largest;
        } else {
            next();
        }
    }
    if (braced) {
        next();
    }
    return largest;
}

/* Read an initialiser; give the type, completed if it was an array without a size. */
struct type *read_initialiser(struct type *t)
{
    long count;
    first_element = 0;
    last_element = 0;
    pending = 0;
    if (t->kind == ARRAY && token->kind != '{' && !is_string_for(t)) {
        fail("an array needs braces for its initialiser", 0);
    }
    count = initialiser(t, 0, 0);
    if (t->kind == ARRAY && t->count < 0) {
        t = array_of(t->base, count);
    }
    return t;
}

/* ---- initialised data ---- */

void add_fixup(struct object *o, long place, struct object *target, long addend)
{
    struct fixup *f = (struct fixup *)allocate(sizeof(struct fixup));
    f->place = place;
    f->target = target;
    f->addend = addend;
    f->kind = 8;
    f->next = o->fixups;
    o->fixups = f;
}

/* Forget addresses in bytes that are written again. */
void drop_fixups(struct object *o, long place, long size)
{
    struct fixup *f;
    struct fixup *kept = 0;
    struct fixup *after_it;
    for (f = o->fixups; f; f = after_it) {
        after_it = f->next;
        if (f->place < place || f->place >= place + size) {
            f->next = kept;
            kept = f;
        }
    }
    o->fixups = kept;
}

long read_bytes(char *from, long size)
{
    long value = 0;
    while (size > 0) {
        size--;
        value = value << 8 | from[size];
    }
    return value;
}

void write_element(struct object *o, struct element *e)
{
    struct node *n = e->value;
    char *to = o->data + e->offset;
    long size = size_of(e->type);
    long one = 1;
    long mask;
    struct fixup *f;
    drop_fixups(o, e->offset, size);
    if (n->op == N_CAST && n->left->op == N_ADDRESS && is_wide(n->type) && is_wide(n->left->type)) {
        n = n->left;
    }
    if (n->op == N_CONSTANT && e->bit_width >= 0) {
        mask = -1;
        if (e->bit_width < 64) {
            mask = (one << e->bit_width) - 1;
        }
        write_number(to, (read_bytes(to, size) & ~(mask << e->bit_offset)) |
                         (n->value & mask) << e->bit_offset, size);
    } else if (n->op == N_CONSTANT) {
        write_number(to, n->value, size);
    } else if (n->op == N_REAL) {
        real_store(to, n->real, e->type->kind);
    } else if (n->op == N_ADDRESS && n->left->op == N_GLOBAL && is_wide(e->type)) {
        add_fixup(o, e->offset, n->left->object, n->left->value);
    } else if (n->op == N_GLOBAL && n->type->kind == RECORD && n->object->data && !n->object->name) {
        copy_bytes(to, n->object->data + n->value, size);
        for (f = n->object->fixups; f; f = f->next) {
            add_fixup(o, e->offset + f->place, f->target, f->addend);
        }
        n->object->size = 0;            /* a string or literal that was only copied */
    } else {
        fail("an initialiser is not constant", 0);
    }
}

/* Define a variable by the elements that were read. */
void initialise_object(struct object *o, struct type *t)
{
    struct element *e;
    o->size = size_of(t);
    for (e = first_element; e; e = e->next) {
        if (e->offset + size_of(e->type) > o->size) {
            o->size = e->offset + size_of(e->type);     /* a flexible array at the end */
        }
    }
    o->data = allocate(o->size);
    for (e = first_element; e; e = e->next) {
        write_element(o, e);
    }
}

/* The assignments that give the local variable at `offset` its value, as one tree. */
struct node *initialise_local(long offset, struct type *t)
{
    struct element *e;
    struct node *place;
    struct node *n = 0;
    if ((t->kind == ARRAY || t->kind == RECORD) &&
        !(first_element && size_of(first_element->type) == size_of(t))) {
        n = new_node(N_ZERO, type_void, local_place(offset, t), 0);
        n->value = (size_of(t) + 7) & -8;
    }
    for (e = first_element; e; e = e->next) {
        place = local_place(offset + e->offset, e->type);
        place->bit_width = e->bit_width;
        place->bit_offset = e->bit_offset;
        place = assign(place, e->value);
        if (n) {
            n = comma(n, place);
        } else {
            n = place;
        }
    }
    return n;
}

/* (type){ … }, after the ')' */
struct node *compound_literal(struct type *t)
{
    struct element *outer_first = first_element;
    struct element *outer_last = last_element;
    struct node *outer_pending = pending;
    struct object *o;
    struct node *place;
    struct node *n;
    t = read_initialiser(t);
    if (level == 0) {
        o = new_object(0);
        o->defined = 1;
        o->align = align_of(t);
        initialise_object(o, t);
        place = global_place(o, t);
    } else {
        place = local_place(new_local(size_of(t), align_of(t)), t);
        n = initialise_local(place->value, t);
        if (n) {
            place = dereference(comma(n, address_as(place, pointer_to(t))));
        }
    }
    first_element = outer_first;
    last_element = outer_last;
    pending = outer_pending;
    return place;
}

/* ---- declarations ---- */

/* Join a declaration with an earlier one of the same object. */
void merge_types(struct symbol *s, struct type *t)
{
    if (s->kind != SYMBOL_OBJECT || !same_type(s->type, t)) {
        fail("declared before as something else:", s->name->text);
    }
    if ((t->kind == ARRAY && s->type->count < 0) || (t->kind == FUNCTION && s->type->unknown)) {
        s->type = t;
    }
}

/* Declare a variable or function that has an object. */
struct symbol *declare_object(struct name *name, struct type *t, struct specifiers *s)
{
    struct symbol *old = name->symbol;
    struct symbol *symbol;
    struct object *o = 0;
    if (old && old->level == level) {
        merge_types(old, t);
        return old;
    }
    if (old && old->kind == SYMBOL_OBJECT && old->level == 0) {
        o = old->object;                /* declared again, in a block */
    } else if (s->storage == K_STATIC || (s->is_inline && !s->storage)) {
        o = new_object(name);
        o->internal = 1;
    } else {
        o = external_object(name);
    }
    symbol = declare(SYMBOL_OBJECT, name, t);
    symbol->object = o;
    o->is_function = t->kind == FUNCTION;
    return symbol;
}

void check_complete(struct type *t, struct name *name)
{
    if (size_of(t) < 0 || t->kind == VOID) {
        fail("a variable of incomplete type:", name->text);
    }
}

void define_object(struct symbol *symbol, long align)
{
    struct object *o = symbol->object;
    if (accept('=')) {
        if (o->defined) {
            fail("defined before:", symbol->name->text);
        }
        o->defined = 1;
        symbol->type = read_initialiser(symbol->type);
        check_complete(symbol->type, symbol->name);
        initialise_object(o, symbol->type);
    } else {
        o->tentative = 1;
        if (symbol->type->kind == VOID) {
            check_complete(symbol->type, symbol->name);
        }
    }
    if (size_of(symbol->type) > o->size) {
        o->size = size_of(symbol->type);
    }
    if (align > o->align) {
        o->align = align;
    }
}

void declare_static_local(struct name *name, struct type *t, long align)
{
    struct symbol *symbol = declare(SYMBOL_OBJECT, name, t);
    symbol->object = new_object(name);
    symbol->object->internal = 1;
    define_object(symbol, align);
    check_complete(symbol->type, name);
}

void declare_local(struct name *name, struct type *t, long align)
{
    struct symbol *symbol = declare(SYMBOL_LOCAL, name, t);
    struct node *n;
    if (size_of(t) >= 0) {
        check_complete(t, name);
        symbol->value = new_local(size_of(t), align);
    }
    if (accept('=')) {
        t = read_initialiser(t);
        check_complete(t, name);
        if (size_of(symbol->type) < 0) {
            symbol->type = t;
            symbol->value = new_local(size_of(t), align);
        }
        n = initialise_local(symbol->value, t);
        if (n) {
            generate_discard(n);
        }
    }
    check_complete(t, name);
}

/* Declare what one declarator names. */
void declare_one(struct specifiers *s, struct name *name, struct type *t)
{
    struct symbol *old = name->symbol;
    struct symbol *symbol;
    long align = s->align;
    if (attribute_align > align) {
        align = attribute_align;
    }
    if (align_of(t) > align) {
        align = align_of(t);
    }
    if (s->storage == K_TYPEDEF) {
        if (old && old->level == level) {
            if (old->kind != SYMBOL_TYPEDEF || !same_type(old->type, t)) {
                fail("declared before as something else:", name->text);
            }
            return;
        }
        declare(SYMBOL_TYPEDEF, name, t);
    } else if (t->kind == FUNCTION || s->storage == K_EXTERN || level == 0) {
        symbol = declare_object(name, t, s);
        if (t->kind != FUNCTION && (s->storage != K_EXTERN || token->kind == '=')) {
            define_object(symbol, align);
        }
    } else if (old && old->level == level) {
        fail("declared before:", name->text);
    } else if (s->storage == K_STATIC) {
        declare_static_local(name, t, align);
    } else {
        declare_local(name, t, align);
    }
}

void static_assertion(void)
{
    next();
    expect('(', "(");
    if (!constant_expression()) {
        fail("a static assertion failed", 0);
    }
    if (accept(',')) {
        string_place()->object->size = 0;
    }
    expect(')', ")");
    expect(';', ";");
}

/* A declaration, or at file scope a function. */
void declaration(long at_file_scope)
{
    struct specifiers *s;
    struct type *t;
    struct name *name;
    struct symbol *symbol;
    long first = 1;
    if (token->kind == K_STATIC_ASSERT) {
        static_assertion();
        return;
    }
    if (token->kind == K_ASM) {
        fail("refused: asm", 0);
    }
    s = specifiers();
    if (accept(';')) {
        return;
    }
    while (1) {
        name = 0;
        attribute_align = 0;
        t = declarator(s->type, &name);
        if (!name) {
            fail("expected a name, found", token_text(token));
        }
        if (token->kind == K_ASM) {
            fail("refused: asm", 0);
        }
        attributes();
        if (t->kind == FUNCTION && token->kind == '{' && at_file_scope && first && s->storage != K_TYPEDEF) {
            symbol = declare_object(name, t, s);
            symbol->type = t;
            function_body(name, symbol->object, t);
            return;
        }
        declare_one(s, name, t);
        first = 0;
        if (accept(';')) {
            return;
        }
        expect(',', ", or ;");
    }
}
